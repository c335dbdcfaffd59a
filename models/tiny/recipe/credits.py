# SPDX-License-Identifier: Apache-2.0
"""Lists where the training data comes from: packages, versions, licences and authors.

usage: credits.py data=FOLDER >CREDITS.md
"""
import collections
import json
import os
import sys


def cell(text):
    return ' '.join(text.replace('|', '\\|').split())


def main(argv):
    if len(argv) != 2 or not argv[1].startswith('data='):
        sys.exit(__doc__)
    with open(os.path.join(argv[1][5:], 'manifest.jsonl'), encoding='utf-8') as f:
        rows = [json.loads(line) for line in f]
    groups = collections.defaultdict(list)
    for r in rows:
        groups[r['package'], r['version']].append(r)
    print('# Credits of the data\n')
    print('Made by recipe/credits.py from the manifest, which has a row for every file. Train, validation and')
    print('test files are counted; authors are named as their package names them.\n')
    print('| package | version | files: train, val, test | licences | authors |')
    print('| --- | --- | --- | --- | --- |')
    for (package, version), files in sorted(groups.items()):
        split = collections.Counter(r['split'] for r in files)
        licences = collections.Counter(r['spdx'] for r in files)
        authors = sorted({cell(r['author']) for r in files}, key=str.lower)
        print('| %s | %s | %d, %d, %d | %s | %s |' % (
            cell(package), cell(version), split['train'], split['val'], split['test'],
            ', '.join('%s (%d)' % x for x in sorted(licences.items())), '; '.join(authors)))


if __name__ == '__main__':
    main(sys.argv)
