#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's embeddings and retrieval figures of the quality test, from the shipped model file.

    python3 models/tiny/recipe/make_golden.py

in the recipe's environment (requirements.txt), whenever models/tiny/onepeace-tiny.safetensors has
changed; it takes seconds of one core. Writes tests/data/tiny/golden.npy (float32, a row for each line
of words.txt and then of subset.tsv) and expected.json (the figures, and the hash of the model file
they belong to).

options: model=FILE root=REPOSITORY
"""
import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch

from evaluate import both_ways, recall
from released import Released


def read_subset(folder):
    words = (folder / 'words.txt').read_text(encoding='utf-8').splitlines()
    with open(folder / 'subset.tsv', encoding='utf-8', newline='') as file:
        return words, list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))


def embed(model, folder, words, subset):
    def one(row):
        path = [str(folder / row['file'])]
        return model.sounds(path) if row['kind'] == 'recording' else model.pictures(path)
    return model.words(words), torch.cat([one(row) for row in subset])


def figures(words, subset, word_rows, rows):
    """The recipe's own definitions (evaluate.py) over the subset."""
    number = {word: i for i, word in enumerate(words)}
    concept = np.array([number[row['concept']] for row in subset])
    group = {kind: np.array([row['kind'] == kind for row in subset])
             for kind in ('drawing', 'photo', 'recording')}
    row_of = {kind: rows[torch.from_numpy(mask)] for kind, mask in group.items()}
    concept_of = {kind: concept[mask] for kind, mask in group.items()}
    everything, out = np.arange(len(words)), {}
    for kind in 'drawing', 'recording':
        both_ways(out, (f'{kind}->word', f'word->{kind}'), row_of[kind], concept_of[kind], word_rows,
                  everything)
    out['photo->word'] = recall(row_of['photo'], word_rows, concept_of['photo'], everything)
    for a, b in ('recording', 'drawing'), ('drawing', 'recording'):
        known = np.isin(concept_of[a], concept_of[b])
        out[f'{a}->{b}'] = recall(row_of[a][torch.from_numpy(known)], row_of[b],
                                  concept_of[a][known], concept_of[b])
    return out


def main():
    torch.set_num_threads(1)
    options = dict(word.split('=', 1) for word in sys.argv[1:] if '=' in word)
    if len(options) != len(sys.argv) - 1 or set(options) - {'model', 'root'}:
        sys.exit(__doc__)
    root = Path(options.get('root', Path(__file__).resolve().parents[3]))
    folder = root / 'tests/data/tiny'
    model = Released(options.get('model', root / 'models/tiny/onepeace-tiny.safetensors'))
    words, subset = read_subset(folder)
    word_rows, rows = embed(model, folder, words, subset)
    np.save(folder / 'golden.npy', torch.cat([word_rows, rows]).numpy())
    found = figures(words, subset, word_rows, rows)
    expected = dict(model_sha256=model.sha256, torch=torch.__version__, figures=found)
    (folder / 'expected.json').write_text(json.dumps(expected, indent=1) + '\n', encoding='utf-8')
    for name, f in found.items():
        print('%-20s R@1 %5.1f  R@5 %5.1f  n %d' % (name, f['r1'], f['r5'], f['n']))


if __name__ == '__main__':
    main()
