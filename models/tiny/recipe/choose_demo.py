# SPDX-License-Identifier: Apache-2.0
"""Chooses the demo's drawing and recording of each concept among the candidates.

usage: choose_demo.py CHECKPOINT data=FOLDER out=demo_choice.tsv

Candidates are the streamline drawings (split val) and the permissive recordings of the splits test and
val, none of them trained on. The demo is to show the model at its best, and says so: chosen are the files
for which the most concepts are right at rank 1 in all six directions among all concepts of the demo. The
model's card has the figures over all candidates, chosen or not.
"""
import sys

import numpy as np
import torch

from dataset import Dataset
from evaluate import embed, embed_words
from model import OnePeace
from text import BPE, load_concepts

STARTS = 8


class Candidates:
    def __init__(self, net, data, bpe):
        def usable(r, kind, splits):
            return r['split'] in splits and r['tier'] == 'permissive' and r['kind'] in kind
        pictures = [i for i, r in enumerate(data.image_rows)
                    if usable(r, ('color',), ('val',)) and r['family'] == 'streamline-emojis']
        sounds = [i for split in ('test', 'val') for i, r in enumerate(data.sound_rows)
                  if usable(r, ('recording',), (split,))]
        self.concepts = [k for k in data.heard
                         if k in data.image_concept[pictures] and k in data.sound_concept[sounds]]
        self.words = embed_words(net, bpe, [data.concepts[k]['name'] for k in self.concepts]).numpy()
        self.picture_rows = embed(net, data, pictures, 'image').numpy()
        self.sound_rows = embed(net, data, sounds, 'audio').numpy()
        self.pictures, self.sounds = pictures, sounds
        self.of = [([j for j, i in enumerate(pictures) if data.image_concept[i] == k],
                    [j for j, i in enumerate(sounds) if data.sound_concept[i] == k]) for k in self.concepts]

    def score(self, choice):
        """(which concepts are right in all six directions, a value that also counts near misses)"""
        p, s = self.picture_rows[[c[0] for c in choice]], self.sound_rows[[c[1] for c in choice]]
        right, nearness = np.ones(len(choice), bool), 0.0
        for m in (p @ self.words.T, s @ self.words.T, s @ p.T):
            own = np.diag(m).copy()
            np.fill_diagonal(m, -2)
            for lead in (own - m.max(1), own - m.max(0)):
                right &= lead > 0
                nearness += np.minimum(lead, 0.1).sum()
        return right, right.sum() + 0.02 * nearness

    def climb(self, rng):
        """One concept's pair after another, until none makes the value larger."""
        choice = [(int(rng.choice(p)), int(rng.choice(s))) for p, s in self.of]
        value, before = self.score(choice)[1], -np.inf
        while value > before + 1e-9:
            before = value
            for k in rng.permutation(len(choice)):
                for pair in [(p, s) for p in self.of[k][0] for s in self.of[k][1]]:
                    trial = choice[:k] + [pair] + choice[k + 1:]
                    other = self.score(trial)[1]
                    if other > value + 1e-9:
                        value, choice = other, trial
        return value, choice


def main(argv):
    options = dict(a.split('=', 1) for a in argv[2:] if '=' in a)
    if len(argv) < 2 or set(options) != {'data', 'out'}:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    saved = torch.load(argv[1], weights_only=True)
    net = OnePeace(saved['config'])
    net.load_state_dict(saved['average'])
    net.eval()
    data = Dataset(options['data'], load_concepts(options['data']), saved['config']['patch'])
    c = Candidates(net, data, BPE(saved['merges']))
    rng = np.random.default_rng(0)
    value, choice = max((c.climb(rng) for _ in range(STARTS)), key=lambda x: x[0])
    right = c.score(choice)[0]
    with open(options['out'], 'w', encoding='utf-8') as f:
        f.write('concept\tpicture\tsound\n')
        for k, (p, s) in zip(c.concepts, choice):
            f.write('%s\t%s\t%s\n' % (data.concepts[k]['name'], data.image_rows[c.pictures[p]]['file'],
                                      data.sound_rows[c.sounds[s]]['file']))
    print('%d concepts, %d of them right in all six directions: %s' % (
        len(choice), right.sum(), ', '.join(data.concepts[k]['name'] for k, r in zip(c.concepts, right) if r)))


if __name__ == '__main__':
    main(sys.argv)
