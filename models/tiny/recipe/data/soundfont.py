# SPDX-License-Identifier: Apache-2.0
"""Short phrases played by a soundfont: the training sounds of the instruments.

One MIDI file is written per soundfont, a phrase every 4 seconds, rendered once by fluidsynth and
cut up. The phrases are random with a fixed seed. The order of the draws is part of the data:
another order plays other music.
"""
import random
import struct
from pathlib import Path

TICKS_PER_SECOND = 960  # 480 a quarter at MIDI's default of 120 quarters a minute
PHRASE_SECONDS = 2.2
SPACING_SECONDS = 4.0

# Concept: (programs of General MIDI counted from 0, lowest note, highest note).
MELODIC = {
    "piano": ([0, 1], 45, 80), "guitar": ([24, 25], 43, 72),
    "electric guitar": ([27, 29, 30], 43, 76), "violin": ([40], 58, 88), "cello": ([42], 38, 64),
    "harp": ([46], 45, 84), "banjo": ([105], 50, 76), "trumpet": ([56], 56, 80),
    "trombone": ([57], 42, 66), "tuba": ([58], 30, 50), "french horn": ([60], 42, 70),
    "saxophone": ([65, 66], 50, 76), "oboe": ([68], 60, 84), "bassoon": ([70], 36, 62),
    "clarinet": ([71], 52, 84), "flute": ([73, 72], 62, 92), "recorder": ([74], 62, 88),
    "bagpipes": ([109], 55, 74), "accordion": ([21], 52, 80), "harmonica": ([22], 58, 82),
    "organ": ([19, 16], 40, 76), "xylophone": ([13, 12], 62, 92), "timpani": ([47], 38, 52),
    "sitar": ([104], 50, 72), "bell": ([14], 55, 79), "telephone": ([124], 58, 64),
    "helicopter": ([125], 56, 64), "crowd": ([126], 58, 66), "wave": ([122], 56, 66),
    "bird": ([123], 60, 76),
}
# Concept: notes of the percussion channel; None is a drum kit's beat.
PERCUSSION = {
    "drum": [38, 40, 41, 43, 45, 36], "long drum": [60, 61, 62, 63, 64], "cymbal": [49, 57, 55],
    "tambourine": [54], "maracas": [70, 69], "triangle": [80, 81], "drum kit": None,
    "whistle": [71, 72],
}
SLOW = ("cymbal", "triangle")


class Score:
    """MIDI events in the making and where each phrase begins: phrases = [(concept, seconds)]."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.events = []
        self.phrases = []
        self.now = 0.5

    def add(self, seconds, *message):
        self.events.append((int(seconds * TICKS_PER_SECOND), bytes(message)))

    def next_phrase(self, concept):
        self.phrases.append((concept, self.now))
        self.now += SPACING_SECONDS

    def melodic_phrase(self, concept, programs, lowest, highest):
        """A random walk over notes, in three of ten phrases with chords."""
        draw = self.random
        self.add(self.now - 0.1, 0xC0, draw.choice(programs))
        at, style, note = 0, draw.random(), draw.randint(lowest, highest)
        while at < PHRASE_SECONDS:
            length = draw.choice([0.15, 0.25, 0.3, 0.4, 0.6, 0.9, 2.2])
            loudness = draw.randint(70, 115)
            notes = [note]
            if style < 0.3:
                notes += [note + draw.choice([3, 4, 5, 7]), note + draw.choice([7, 9, 12])]
            for key in notes:
                self.add(self.now + at, 0x90, min(key, 127), loudness)
                self.add(self.now + at + min(length, 2.4 - at) * 0.95, 0x80, min(key, 127), 0)
            step = draw.choice([-7, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7])
            note = min(highest, max(lowest, note + step))
            at += length
        self.next_phrase(concept)

    def beat(self, index):
        """What a drum kit strikes at one step of its beat."""
        hits = [42] if index % 2 else [36 if (index // 2) % 2 == 0 else 38, 42]
        if self.random.random() < 0.2:
            hits.append(self.random.choice([46, 49, 45, 47]))
        return hits

    def percussion_phrase(self, concept, notes):
        """Strokes at a steady pace, some of them left out."""
        draw = self.random
        at, index, step = 0, 0, draw.choice([0.12, 0.16, 0.2, 0.25, 0.35, 0.5])
        if concept in SLOW:
            step *= 3
        while at < PHRASE_SECONDS:
            if notes is None:
                hits = self.beat(index)
            else:
                hits = [draw.choice(notes)] if draw.random() < 0.85 else []
            for key in hits:
                self.add(self.now + at, 0x99, key, draw.randint(70, 120))
                self.add(self.now + at + 0.1, 0x89, key, 0)
            at += step
            index += 1
        self.next_phrase(concept)

    def midi(self):
        """The score as a standard MIDI file with one track."""
        track, last = bytearray(), 0
        for tick, message in sorted(self.events, key=lambda event: event[0]):
            track += variable_length(tick - last) + message
            last = tick
        track += b"\x00\xff\x2f\x00"
        head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_PER_SECOND // 2)
        return head + b"MTrk" + struct.pack(">I", len(track)) + bytes(track)


def variable_length(number):
    """A MIDI time: groups of 7 bits, all but the last marked by the highest bit."""
    groups = [number & 127]
    number >>= 7
    while number:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes(reversed(groups))


def compose(phrases, seed):
    """`phrases` of each concept, twice as many where an instrument has several programs."""
    score = Score(seed)
    for concept, (programs, lowest, highest) in MELODIC.items():
        for _ in range(phrases * (2 if len(programs) > 1 else 1)):
            score.melodic_phrase(concept, programs, lowest, highest)
    for concept, notes in PERCUSSION.items():
        for _ in range(phrases):
            score.percussion_phrase(concept, notes)
    return score


def render_command(soundfont, midi, wave):
    """The fluidsynth command: 44.1 kHz, without reverberation and chorus."""
    return ["fluidsynth", "-ni", "-q", "-F", str(Path(wave)), "-r", "44100", "-g", "0.5", "-R", "0",
            "-C", "0", str(soundfont), str(Path(midi))]
