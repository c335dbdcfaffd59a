# SPDX-License-Identifier: Apache-2.0
"""Retrieval quality of a trained checkpoint.

usage: evaluate.py CHECKPOINT data=FOLDER [splits=val,test] [threads=N]

A hit is any item of the query's concept. Words are the bare names. `148` are the concepts that have
sounds: pictures, sounds and words of these only; `all` are all concepts of the model.
"""
import sys

import numpy as np
import torch


@torch.no_grad()
def embed(net, dataset, indices, branch):
    if branch == 'image':
        return torch.cat([net(dataset.pixels(indices[k:k + 128]), 'image') for k in range(0, len(indices), 128)])
    return torch.cat([net(dataset.sound(i), 'audio') for i in indices])


@torch.no_grad()
def embed_words(net, bpe, words):
    return torch.cat([net(torch.tensor(bpe.batch(words[k:k + 128])), 'text') for k in range(0, len(words), 128)])


def recall(queries, gallery, query_concept, gallery_concept):
    """R@1 and R@5 in percent, hits at 1 and 5, and the number of queries."""
    scores = queries @ gallery.t()
    best = scores.topk(min(5, scores.shape[1]), 1)[1].numpy()
    hit = np.asarray(gallery_concept)[best] == np.asarray(query_concept)[:, None]
    at1, at5, n = int(hit[:, 0].sum()), int(hit.any(1).sum()), len(hit)
    return dict(r1=round(100 * at1 / n, 1), r5=round(100 * at5 / n, 1), hits1=at1, hits5=at5, n=n)


def both_ways(out, names, rows, row_concept, columns, column_concept):
    """Row -> column over all rows; column -> row for columns whose concept occurs among the rows."""
    forth, back = names
    out[forth] = recall(rows, columns, row_concept, column_concept)
    known = np.isin(column_concept, row_concept)
    out[back] = recall(columns[torch.from_numpy(known)], rows, column_concept[known], row_concept)


def evaluate(net, dataset, bpe, splits=('val',)):
    was_training = net.training
    net.eval()
    out = {}
    everything, heard = np.array(dataset.pictured), np.array(dataset.heard)
    words = embed_words(net, bpe, [dataset.concepts[k]['name'] for k in everything])
    heard_words = words[torch.from_numpy(np.isin(everything, heard))]
    for split in splits:
        def select(rows, concept, kinds):
            return np.array([i for i, r in enumerate(rows) if r['split'] == split and r['kind'] in kinds
                             and concept[i] in dataset.train_images], int)
        drawn = select(dataset.image_rows, dataset.image_concept, ('color', 'mono', 'clip'))
        drawn_rows, drawn_concept = embed(net, dataset, drawn, 'image'), dataset.image_concept[drawn]
        near = np.isin(drawn_concept, heard)
        near_rows, near_concept = drawn_rows[torch.from_numpy(near)], drawn_concept[near]
        both_ways(out, (split + ' drawing->word 148', split + ' word->drawing 148'),
                  near_rows, near_concept, heard_words, heard)
        both_ways(out, (split + ' drawing->word all', split + ' word->drawing all'),
                  drawn_rows, drawn_concept, words, everything)
        photos = select(dataset.image_rows, dataset.image_concept, ('photo',))
        if len(photos):
            out[split + ' photo->word all'] = recall(embed(net, dataset, photos, 'image'), words,
                                                     dataset.image_concept[photos], everything)
        for kind in ('recording', 'render'):
            played = select(dataset.sound_rows, dataset.sound_concept, (kind,))
            if not len(played):
                continue
            rows, concept = embed(net, dataset, played, 'audio'), dataset.sound_concept[played]
            both_ways(out, ('%s %s->word 148' % (split, kind), '%s word->%s 148' % (split, kind)),
                      rows, concept, heard_words, heard)
            seen = np.isin(concept, near_concept)
            out['%s %s->drawing 148' % (split, kind)] = recall(
                rows[torch.from_numpy(seen)], near_rows, concept[seen], near_concept)
            back = np.isin(near_concept, concept)
            out['%s drawing->%s 148' % (split, kind)] = recall(
                near_rows[torch.from_numpy(back)], rows, near_concept[back], concept)
    net.train(was_training)
    return out


def short(result):
    return ' | '.join('%s %.1f/%.1f' % (k, v['r1'], v['r5']) for k, v in result.items())


def main(argv):
    from dataset import Dataset
    from model import OnePeace
    from text import BPE, load_concepts
    options = dict(a.split('=', 1) for a in argv[2:] if '=' in a)
    if len(argv) < 2 or 'data' not in options:
        sys.exit(__doc__)
    torch.set_num_threads(int(options.get('threads', 2)))
    saved = torch.load(argv[1], weights_only=True)
    net = OnePeace(saved['config'])
    net.load_state_dict(saved['average'])
    dataset = Dataset(options['data'], load_concepts(options['data']), saved['config']['patch'])
    splits = options.get('splits', 'val').split(',')
    for name, v in evaluate(net, dataset, BPE(saved['merges']), splits).items():
        print('%-32s R@1 %5.1f  R@5 %5.1f  n %d' % (name, v['r1'], v['r5'], v['n']))


if __name__ == '__main__':
    main(sys.argv)
