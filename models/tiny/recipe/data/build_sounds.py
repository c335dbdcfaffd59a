#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the sounds of sounds.tsv from the fetched packages.

usage: build_sounds.py downloads=DIR out=DIR [packages=NAME,NAME...]
  downloads  the folder that fetch.py filled
  out        sounds go to out/sounds; same names are replaced
  packages   only sounds of these; otherwise of all that are there

A recording becomes FLAC, 16 kHz mono 16 bit, silence cut from both ends, peak 0.9, at most 3.2 s:
of a longer one the loudest window (segment 0) and, from 2.2 windows on, the loudest of the rest
(segment 1). A soundfont plays short phrases (soundfont.py). sounds.tsv says which recording stands
for which concept, its licence, the group of recordings with one origin, and the group's split.
Nothing is dithered, so that a second run makes the same samples (verify.py --help). Needs numpy,
sox (with libsox-fmt-all), flac and fluidsynth. The pinned contents come from Debian 12: sox
14.4.2+git20190427, flac 1.4.2, fluidsynth 2.3.1; a newer fluidsynth may play other samples.
"""
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

import soundfont
from common import (SAMPLE_RATE, Problem, concept_of, fetched_packages, files_folder, options,
                    read_items, read_sources, run_main, run_tool)

WINDOW = int(SAMPLE_RATE * 3.2)
SHORTEST = SAMPLE_RATE // 20
LONGEST_READ = SAMPLE_RATE * 30
PEAK = 0.9
SILENT_PEAK = 1e-3      # nothing louder than this: no sound
EDGE = 0.006            # samples at the ends below this, of a peak near 1, are cut
SILENT_PHRASE = 0.002   # a soundfont without the instrument

# Soundfont package: (phrases of each concept, seed).
SOUNDFONTS = {
    "fluid-soundfont-gm": (4, 0),
    "musescore-general-soundfont": (3, 1),
    "timgm6mb-soundfont": (2, 2),
}


def decode(path, skip_silence):
    """A sound file as floats at SAMPLE_RATE, mono."""
    command = ["sox", "-V1", "-D", str(path), "-r", str(SAMPLE_RATE), "-c", "1", "-b", "16",
               "-e", "signed", "-t", "raw", "-"]
    if skip_silence:
        command += ["silence", "1", "0.01", "0.3%"]
    raw = run_tool(command, path, "sox and libsox-fmt-all")
    return np.frombuffer(raw, "<i2").astype(np.float32) / 32768


def encode(samples, target):
    """Writes 16-bit samples as FLAC."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["flac", "--best", "--silent", "-f", "--force-raw-format", "--endian=little",
               "--sign=signed", "--channels=1", "--bps=16", f"--sample-rate={SAMPLE_RATE}",
               "-o", str(target), "-"]
    run_tool(command, target, "flac", samples.tobytes())


def cut_edges(samples):
    """Samples without the quiet ends."""
    loud = np.nonzero(np.abs(samples) > EDGE)[0]
    return samples[loud[0]:loud[-1] + 1]


def finish(samples):
    """Samples with the final peak, ends cut, as 16 bit; None where nothing is to be heard."""
    peak = np.abs(samples).max()
    if peak < SILENT_PEAK:
        return None
    samples = cut_edges(samples / peak * PEAK)
    return (samples * 32767).astype("<i2") if len(samples) >= SHORTEST else None


def loudest_windows(samples):
    """The loudest window of a long sound, and of a very long one the next that does not overlap."""
    energy = np.concatenate([[0], np.cumsum(samples ** 2)])
    window_energy = energy[WINDOW:] - energy[:-WINDOW]
    windows = []
    for _ in range(1 if len(samples) < 2.2 * WINDOW else 2):
        if window_energy.max() <= 0:
            break
        begin = int(window_energy.argmax())
        windows.append(samples[begin:begin + WINDOW])
        window_energy[max(0, begin - WINDOW):begin + WINDOW] = -1
    return windows


def segments(path):
    """The segments of a recording, as 16-bit samples."""
    samples = decode(path, skip_silence=True)
    if len(samples) < SHORTEST:
        samples = decode(path, skip_silence=False)
    samples = samples[:LONGEST_READ]
    if len(samples) < SHORTEST or np.abs(samples).max() < SILENT_PEAK:
        return []
    samples = cut_edges(samples / np.abs(samples).max())
    windows = [samples] if len(samples) <= WINDOW else loudest_windows(samples)
    return [done for window in windows if (done := finish(window)) is not None]


def render(path, phrases, seed):
    """The phrases of a soundfont in order: [(concept, 16-bit samples)]"""
    score = soundfont.compose(phrases, seed)
    with tempfile.TemporaryDirectory() as folder:
        midi, wave = Path(folder, "score.mid"), Path(folder, "score.wav")
        midi.write_bytes(score.midi())
        run_tool(soundfont.render_command(path, midi, wave), path, "fluidsynth")
        samples = decode(wave, skip_silence=False)
    length = soundfont.PHRASE_SECONDS
    done = []
    for concept, begin in score.phrases:
        phrase = samples[int(begin * SAMPLE_RATE):int((begin + length) * SAMPLE_RATE)]
        peak = np.abs(phrase).max() if len(phrase) else 0
        if peak >= SILENT_PHRASE:
            done.append((concept, (cut_edges(phrase / peak * PEAK) * 32767).astype("<i2")))
    return done


def build_soundfont(rows, package, folder, out):
    """The sounds of a soundfont; the number in a name counts the concept's phrases."""
    played = defaultdict(list)
    for concept, samples in render(folder / rows[0]["path"], *SOUNDFONTS[package]):
        played[concept].append(samples)
    count = Counter()
    for row in rows:
        concept = concept_of(row["file"])
        if count[concept] >= len(played[concept]):
            raise Problem(f"sounds.tsv: {row['file']}: {package} played {count[concept]} of them")
        encode(played[concept][count[concept]], Path(out, row["file"]))
        count[concept] += 1


def build_recordings(rows, folder, out):
    """The sounds of a package of recordings."""
    cut = {}
    for row in rows:
        if row["path"] not in cut:
            cut[row["path"]] = segments(folder / row["path"])
        segment = int(row["segment"])
        if segment >= len(cut[row["path"]]):
            raise Problem(f"sounds.tsv: {row['file']}: {row['path']} has no segment {segment}")
        encode(cut[row["path"]][segment], Path(out, row["file"]))


def build_all(downloads, out, packages):
    """Makes the sounds of `packages`; returns the names of the files."""
    by_package = defaultdict(list)
    for row in read_items("sounds.tsv", read_sources()):
        if row["package"] in packages:
            by_package[row["package"]].append(row)
    for package, rows in by_package.items():
        folder = files_folder(downloads, package)
        if package in SOUNDFONTS:
            build_soundfont(rows, package, folder, out)
        else:
            build_recordings(rows, folder, out)
    return [row["file"] for rows in by_package.values() for row in rows]


def main(argv):
    given = options(__doc__, argv, required=["downloads", "out"], packages="")
    packages = fetched_packages(given.downloads, read_sources(), given.packages)
    print(f"{len(build_all(given.downloads, given.out, packages))} sounds made")
    return 0


if __name__ == "__main__":
    run_main(main)
