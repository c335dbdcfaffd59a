#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole test split through the program, beside PyTorch: the table of the model card.

    python3 models/tiny/recipe/evaluate_program.py data=FOLDER

in the recipe's environment, with build/onepeace built. Embeds words, pictures and sounds of the test
split of the data folder with `onepeace embed`, and the same files with the recipe's model, and prints
the retrieval figures of both (definitions: evaluate.py) and how far apart the embeddings are.
`148` are the concepts with sounds: pictures, sounds and words of these only; `all` are all concepts of
the model. Pictures are put on white and stored as PNG in a temporary folder, since the program reads
no WebP; sounds are given as they are.

options: model=FILE concepts=FILE program=FILE device=NAME json=OUT
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from evaluate import both_ways, recall
from export_subset import on_white
from released import Released
from text import load_concepts

KINDS = {'drawing': ('color', 'mono', 'clip'), 'photo': ('photo',), 'recording': ('recording',),
         'soundfont': ('render',)}


def read_items(data, concepts, scratch):
    """{kind: (paths, concept numbers)} of the test split, and {'word': the concepts' names}."""
    number = {name: i for i, name in enumerate(concepts)}
    items = {kind: ([], []) for kind in KINDS}
    with open(data / 'manifest.jsonl', encoding='utf-8') as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        kind = next((k for k, names in KINDS.items() if row.get('kind') in names), None)
        if row.get('split') != 'test' or kind is None or row['concept'] not in number:
            continue
        path = data / row['file']
        if row['modality'] == 'image':
            path = scratch / (path.stem + '.png')
            on_white(data / row['file'], path)
        items[kind][0].append(str(path))
        items[kind][1].append(number[row['concept']])
    return items | {'word': (concepts, list(range(len(concepts))))}


def through_program(items, options, scratch):
    """{kind: rows} of one run of `onepeace embed`."""
    flag = {'word': 'text', 'drawing': 'image', 'photo': 'image', 'recording': 'audio',
            'soundfont': 'audio'}
    listed, out = scratch / 'items.tsv', scratch / 'rows.npy'
    with open(listed, 'w', encoding='utf-8') as file:
        for kind, (values, _) in items.items():
            file.writelines(f'{flag[kind]}\t{value}\n' for value in values)
    subprocess.run([options['program'], 'embed', '--model', options['model'], '--device',
                    options['device'], '--input', str(listed), '-o', str(out)], check=True)
    rows, at, result = torch.from_numpy(np.load(out)), 0, {}
    for kind, (values, _) in items.items():
        result[kind] = rows[at:at + len(values)]
        at += len(values)
    return result


def through_torch(items, model):
    take = {'word': model.words, 'drawing': model.pictures, 'photo': model.pictures,
            'recording': model.sounds, 'soundfont': model.sounds}
    return {kind: take[kind](values) for kind, (values, _) in items.items()}


def figures(items, rows, heard):
    """{name: evaluate.recall's answer}. `heard` are the numbers of the concepts with sounds."""
    concept = {kind: np.array(numbers) for kind, (_, numbers) in items.items()}

    def part(kind, only):
        keep = np.isin(concept[kind], only)
        return rows[kind][torch.from_numpy(keep)], concept[kind][keep]
    out = {}
    for scope, only in ('148', heard), ('all', concept['word']):
        words, names = part('word', only)
        both_ways(out, (f'drawing->word {scope}', f'word->drawing {scope}'), *part('drawing', only),
                  words, names)
        values, numbers = part('photo', only)
        out[f'photo->word {scope}'] = recall(values, words, numbers, names)
        for kind in 'recording', 'soundfont':
            # The other way round nothing changes with the scope: sounds are of these concepts anyway.
            pairs = [(kind, 'word'), (kind, 'drawing')]
            pairs += [(b, a) for a, b in pairs] if scope == '148' else []
            for a, b in pairs:
                left, right = part(a, only), part(b, only)
                known = np.isin(left[1], right[1])
                out[f'{a}->{b} {scope}'] = recall(left[0][torch.from_numpy(known)], right[0],
                                                  left[1][known], right[1])
    return out


def print_table(ours, theirs, distance):
    print('| test split | n | program R@1 / R@5 | PyTorch R@1 / R@5 |\n| --- | --- | --- | --- |')
    for name, f in ours.items():
        other = theirs[name]
        print(f"| {name} | {f['n']} | {f['r1']} / {f['r5']} | {other['r1']} / {other['r5']} |")
    print('\nlargest distance between the embeddings: ' +
          ', '.join(f'{kind} {value:.1e}' for kind, value in distance.items()))
    most = max(abs(ours[k][h] - theirs[k][h]) for k in ours for h in ('hits1', 'hits5'))
    print(f'largest difference of the figures: {most} items')


def main():
    torch.set_num_threads(1)
    root = Path(__file__).resolve().parents[3]
    options = dict(model=str(root / 'models/tiny/onepeace-tiny.safetensors'),
                   concepts=str(root / 'models/tiny/concepts.txt'),
                   program=str(root / 'build/onepeace'), device='auto')
    given = dict(word.split('=', 1) for word in sys.argv[1:] if '=' in word)
    if 'data' not in given or set(given) - set(options) - {'data', 'json'}:
        sys.exit(__doc__)
    options |= given
    concepts = Path(options['concepts']).read_text(encoding='utf-8').splitlines()
    sounding = {c['name'] for c in load_concepts(options['data']) if c['has_sound']}
    heard = np.array([i for i, name in enumerate(concepts) if name in sounding])
    with tempfile.TemporaryDirectory(prefix='onepeace-evaluate-') as folder:
        items = read_items(Path(options['data']).resolve(), concepts, Path(folder))
        rows = through_program(items, options, Path(folder))
        reference = through_torch(items, Released(options['model']))
    distance = {kind: float((rows[kind] - reference[kind]).abs().max()) for kind in rows}
    ours, theirs = figures(items, rows, heard), figures(items, reference, heard)
    print_table(ours, theirs, distance)
    if 'json' in options:
        with open(options['json'], 'w', encoding='utf-8') as file:
            json.dump(dict(program=ours, torch=theirs, distance=distance), file, indent=1)
            file.write(os.linesep)


if __name__ == '__main__':
    main()
