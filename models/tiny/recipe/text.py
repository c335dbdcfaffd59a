# SPDX-License-Identifier: Apache-2.0
"""Concepts, captions, and a small byte-level BPE vocabulary in GPT-2's file format.

The tokenizer's files are the three that upstream reads: encoder.json, vocab.bpe, dict.txt. Here
dict.txt lists the BPE numbers in order, so that a model id is the BPE number + 4.
"""
import collections
import csv
import json
import os
import re

WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
PICTURE = ['a photo of {}', 'a picture of {}', 'a drawing of {}', 'an image of {}', 'a cartoon of {}',
           'clip art of {}', 'an icon of {}', 'this is {}', 'a small picture of {}',
           'a photo of {} in the garden', 'a photo of {} outdoors', '{} on a white background',
           'a black and white drawing of {}', 'a colorful picture of {}', 'a close up photo of {}',
           'look at {}', 'there is {} here', 'i see {}', 'an emoji of {}', 'a sketch of {}',
           'a painting of {}']
SOUND = ['the sound of {}', 'sound of {}', 'this is a sound of {}', 'the noise of {}', 'a recording of {}',
         'i hear {}', 'you can hear {}', 'this is the sound of {}', 'audio of {}', 'listen to {}',
         'a sound made by {}', '{} in the distance', 'the noise made by {}']
PAIR = ['{} and {}', '{} next to {}', 'a picture of {} and {}', '{} with {}', '{} together with {}',
        'a photo of {} and {}', 'the sound of {} and {}']
# Names that take no article.
BARE = set('''grapes glasses sunglasses jeans gloves socks skis headphones scissors peanuts blueberries
cherries fries maracas bagpipes heels footprints fireworks pancakes spaghetti rice milk honey bread water
rain money lightning fire wind popcorn salad soup coffee beer wine cheese meat bacon garlic corn broccoli
lettuce sushi chocolate candy soap liberty earth saturn laughing crying snoring sneezing tennis baseball
basketball volleyball bowling football hockey'''.split())
# Phrases that many things could make: they never stand for a concept without its name.
SHARED = set('''playing ringing flying running shaking drumming calling screaming crying driving siren
shooting exploding buzzing chirping barking howling roaring screeching bleating grunting growling squeaking
popping singing whistling clicking hissing croaking neighing blowing rolling working clinking crash roar
growl howl buzz squeak screech hiss screaming honking bellowing groaning whinny bubbling pecking squawking
squawk'''.split())
MERGES = 1400


def load_concepts(data):
    """Rows of concepts.tsv: name, aliases, sound phrases, labels (lists of strings), has_sound."""
    def parts(cell):
        return [x.strip() for x in cell.split(',') if x.strip()]
    with open(os.path.join(data, 'concepts.tsv'), encoding='utf-8', newline='') as f:
        return [dict(name=r['concept'], alias=parts(r['aliases']), sound=parts(r['sound_phrases']),
                     labels=parts(r['emoji_labels']), has_sound=r['has_sound'] == 'yes')
                for r in csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE)]


def with_article(name, rng):
    words = name.split()
    if words[-1] in BARE or words[0] in ('crying', 'laughing', 'snoring', 'sneezing'):
        return name
    r = rng.random()
    if r < 0.2:
        return 'the ' + name
    if r < 0.4:
        return name
    return ('an ' if name[0] in 'aeiou' else 'a ') + name


def choose(rng, values):
    return values[int(rng.integers(len(values)))]


class Captions:
    """Random captions; `rng` is a numpy Generator, so a seed fixes them."""

    def __init__(self, concepts, plain=0.25):
        self.concepts, self.plain = concepts, plain

    def name(self, index, rng):
        c = self.concepts[index]
        return c['name'] if rng.random() < 0.7 or not c['alias'] else choose(rng, c['alias'])

    def one(self, index, rng, of_sound):
        """A caption of one concept: its bare name in a share `plain` of the cases."""
        c, name = self.concepts[index], self.name(index, rng)
        if rng.random() < self.plain:
            return name
        if of_sound and c['sound'] and rng.random() < 0.5:
            phrase, thing, r = choose(rng, c['sound']), with_article(name, rng), rng.random()
            verb = phrase.endswith('ing')
            if r < 0.5:
                return '%s %s' % (thing if verb else name, phrase)
            if r < 0.7 and phrase not in SHARED:
                return phrase
            return choose(rng, SOUND).format('%s %s' % (thing, phrase) if verb else thing)
        thing = with_article(name, rng)
        return thing if rng.random() < 0.4 else choose(rng, SOUND if of_sound else PICTURE).format(thing)


def byte_letters():
    """GPT-2's printable letter for each byte."""
    shown = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    hidden = [b for b in range(256) if b not in shown]
    return {b: chr(b) for b in shown} | {b: chr(256 + i) for i, b in enumerate(hidden)}


LETTER = byte_letters()


def join_pair(word, pair):
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def train_merges(concepts, merges=MERGES):
    """Byte-pair merges from the words of all captions; ties go to the pair that sorts last."""
    count = collections.Counter()

    def add(text, times):
        for word in WORDS.findall(' ' + text.lower()):
            count[tuple(LETTER[b] for b in word.encode())] += times
    for c in concepts:
        for text in [c['name']] + c['alias'] + c['sound'] + c['labels']:
            add(text, 20)
    for template in PICTURE + SOUND + PAIR:
        add(template.replace('{}', ' '), 30)
    result, words = [], dict(count)
    for _ in range(merges):
        pairs = collections.Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        if not pairs:
            break
        pair, times = max(pairs.items(), key=lambda x: (x[1], x[0]))
        if times < 2:
            break
        result.append(pair)
        merged = collections.Counter()
        for word, times in words.items():
            merged[tuple(join_pair(word, pair))] += times
        words = dict(merged)
    return result


class BPE:
    """Ids: 0 <s>, 1 padding, 2 </s>, 3 unknown, then the BPE numbers + 4."""
    PAD, END = 1, 2

    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.pieces = list(dict.fromkeys([LETTER[b] for b in range(256)] + [a + b for a, b in self.merges]))
        self.id = {piece: i + 4 for i, piece in enumerate(self.pieces)}
        self.size, self.cache = len(self.pieces) + 4, {}

    def word(self, word):
        if word not in self.cache:
            pieces = [LETTER[b] for b in word.encode()]
            while len(pieces) > 1:
                pair = min(zip(pieces, pieces[1:]), key=lambda p: self.rank.get(p, len(self.rank)))
                if pair not in self.rank:
                    break
                pieces = join_pair(pieces, pair)
            self.cache[word] = [self.id[p] for p in pieces]
        return self.cache[word]

    def encode(self, text):
        ids = [i for word in WORDS.findall(' ' + text.lower()) for i in self.word(word)]
        return ids[:70] + [self.END]

    def batch(self, texts):
        rows = [self.encode(t) for t in texts]
        longest = max(map(len, rows))
        return [row + [self.PAD] * (longest - len(row)) for row in rows]

    def save(self, folder):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, 'encoder.json'), 'w', encoding='utf-8') as f:
            json.dump({piece: i for i, piece in enumerate(self.pieces)}, f)
        with open(os.path.join(folder, 'vocab.bpe'), 'w', encoding='utf-8') as f:
            f.write('#version: 0.2\n' + ''.join('%s %s\n' % m for m in self.merges))
        with open(os.path.join(folder, 'dict.txt'), 'w', encoding='utf-8') as f:
            f.write(''.join('%d 1\n' % i for i in range(len(self.pieces))))

    @staticmethod
    def load(folder):
        with open(os.path.join(folder, 'vocab.bpe'), encoding='utf-8') as f:
            return BPE([tuple(line.rstrip('\n').split(' ')) for line in f][1:])
