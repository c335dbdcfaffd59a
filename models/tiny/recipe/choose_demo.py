# SPDX-License-Identifier: Apache-2.0
"""Chooses the demo's drawing and recording of each concept among the candidates.

usage: choose_demo.py CHECKPOINT data=FOLDER out=demo_choice.tsv

Candidates are the streamline drawings (split val) and the permissive recordings of the split test, none
of them trained on. The demo is to show the model at its best, and says so: chosen is the largest
group of concepts, with a drawing and a recording each, in which every one finds its own at rank 1 in all
six directions among the group. The other concepts get their first candidates; the demo shows the ranks of
all, and the model's card has the figures over all candidates, chosen or not.
"""
import sys

import numpy as np
import torch

from dataset import Dataset
from evaluate import embed, embed_words
from model import OnePeace
from text import BPE, load_concepts

STEPS = 300000


class Candidates:
    def __init__(self, net, data, bpe):
        def usable(r, kind, splits):
            return r['split'] in splits and r['tier'] == 'permissive' and r['kind'] in kind
        pictures = [i for i, r in enumerate(data.image_rows)
                    if usable(r, ('color',), ('val',)) and r['family'] == 'streamline-emojis']
        sounds = [i for i, r in enumerate(data.sound_rows) if usable(r, ('recording',), ('test',))]
        self.concepts = [k for k in data.heard
                         if k in data.image_concept[pictures] and k in data.sound_concept[sounds]]
        self.words = embed_words(net, bpe, [data.concepts[k]['name'] for k in self.concepts]).numpy()
        self.picture_rows = embed(net, data, pictures, 'image').numpy()
        self.sound_rows = embed(net, data, sounds, 'audio').numpy()
        self.pictures, self.sounds = pictures, sounds
        self.of = [([j for j, i in enumerate(pictures) if data.image_concept[i] == k],
                    [j for j, i in enumerate(sounds) if data.sound_concept[i] == k]) for k in self.concepts]

    def group(self):
        """{concept's place: (drawing, recording)} of the largest group: a clique of triples."""
        triples = [(k, p, s) for k, (ps, ss) in enumerate(self.of) for p in ps for s in ss]
        k, p, s = np.array(triples).T
        apart = k[:, None] != k[None]
        for a, b in ((self.picture_rows[p], self.words[k]), (self.sound_rows[s], self.words[k]),
                     (self.sound_rows[s], self.picture_rows[p])):
            m = a @ b.T
            own, other = np.diag(m), np.maximum(m, m.T)
            apart &= (own[:, None] > other) & (own[None] > other)
        neighbours = [sum(1 << int(j) for j in np.flatnonzero(row)) for row in apart]
        return {triples[i][0]: triples[i][1:] for i in largest_clique(neighbours)}


def largest_clique(neighbours):
    """Branch and bound over bit sets; items of one colour are no neighbours (Tomita and Seki, 2003)."""
    best, steps = [], 0

    def extend(chain, candidates):
        nonlocal best, steps
        steps += 1
        if len(chain) > len(best):
            best = chain
        order, colours, left = [], 0, candidates
        while left:
            colours, free = colours + 1, left
            while free:
                v = (free & -free).bit_length() - 1
                free &= ~(1 << v | neighbours[v])
                left &= ~(1 << v)
                order.append((v, colours))
        for v, colour in reversed(order):
            if len(chain) + colour <= len(best) or steps > STEPS:
                return
            extend(chain + [v], candidates & neighbours[v])
            candidates &= ~(1 << v)
    extend([], (1 << len(neighbours)) - 1)
    return best


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
    group = c.group()
    choice = [group.get(k, (pictures[0], sounds[0])) for k, (pictures, sounds) in enumerate(c.of)]
    with open(options['out'], 'w', encoding='utf-8') as f:
        f.write('concept\tpicture\tsound\n')
        for k, (p, s) in zip(c.concepts, choice):
            f.write('%s\t%s\t%s\n' % (data.concepts[k]['name'], data.image_rows[c.pictures[p]]['file'],
                                      data.sound_rows[c.sounds[s]]['file']))
    print('%d concepts, %d told apart: %s' % (len(choice), len(group), ', '.join(
        data.concepts[c.concepts[k]]['name'] for k in sorted(group))))


if __name__ == '__main__':
    main(sys.argv)
