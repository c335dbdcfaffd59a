#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the default model finds, through the program: quality.py PROGRAM TEST_DATA

Embeds the 148 words, drawings, photographs and recordings of tests/data/tiny, none of which was
trained on, on the device ONP_TEST_DEVICE or the automatic choice. Rows must be PyTorch's, and the
retrieval figures PyTorch's within one item; both were written by models/tiny/recipe/make_golden.py
from the same model file. A hit is any item of the query's concept. Standard library only.
"""
import array
import ast
import csv
import hashlib
import json
import operator
import os
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM, DATA = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
FOLDER = os.path.join(DATA, "tiny")
DEVICE = os.environ.get("ONP_TEST_DEVICE") or "auto"
# The model's weights are f16 numbers, so storing matrices as f16 loses nothing of them.
LIMIT = {"f32": 5e-6, "f16": 2e-3}
REFRESH = "models/tiny/recipe/make_golden.py writes new ones"


def read_npy(path):
    """Rows of a float32 .npy."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x93NUMPY\x01\x00", path
    start = 10 + struct.unpack_from("<H", data, 8)[0]
    header = ast.literal_eval(data[10:start].decode("latin-1"))
    assert header["descr"] == "<f4" and not header["fortran_order"], path
    count, width = header["shape"]
    values = array.array("f", data[start:])
    if sys.byteorder == "big":
        values.byteswap()
    assert len(values) == count * width, path
    return [values[i * width:(i + 1) * width] for i in range(count)]


def read_items():
    """[(kind, concept, value)]: the words, then the files, as the goldens have them."""
    with open(os.path.join(FOLDER, "words.txt"), encoding="utf-8") as file:
        items = [("word", word, word) for word in file.read().splitlines()]
    with open(os.path.join(FOLDER, "subset.tsv"), encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            path = os.path.normpath(os.path.join(FOLDER, row["file"]))
            items.append((row["kind"], row["concept"], path))
    return items


def run_program(*args):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ONEPEACE_")}
    done = subprocess.run([PROGRAM, *args], env=environment, capture_output=True, text=True,
                          timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{args}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def embed(items, dtype):
    kinds = {"word": "text", "drawing": "image", "photo": "image", "recording": "audio"}
    with tempfile.TemporaryDirectory(prefix="onepeace-quality-") as scratch:
        listed, rows = os.path.join(scratch, "items.tsv"), os.path.join(scratch, "rows.npy")
        with open(listed, "w", encoding="utf-8") as file:
            file.writelines(f"{kinds[kind]}\t{value}\n" for kind, _, value in items)
        run_program("embed", "--device", DEVICE, "--dtype", dtype, "--input", listed, "-o", rows)
        return read_npy(rows)


def dot(a, b):
    return sum(map(operator.mul, a, b))


class Retrieval:
    def __init__(self, items, rows):
        self.of = {}
        for (kind, concept, _), row in zip(items, rows, strict=True):
            self.of.setdefault(kind, []).append((concept, row))

    def figure(self, query, gallery):
        """(hits at rank 1, hits among the first 5, queries that have a right answer)"""
        known = {concept for concept, _ in self.of[gallery]}
        hits, count = [0, 0], 0
        for concept, row in self.of[query]:
            if concept not in known:
                continue
            scores = [(dot(row, other), name) for name, other in self.of[gallery]]
            best = [name for _, name in sorted(scores, key=lambda s: -s[0])[:5]]
            hits[0] += best[0] == concept
            hits[1] += concept in best
            count += 1
        return hits[0], hits[1], count


class Quality(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.items = read_items()
        with open(os.path.join(FOLDER, "expected.json"), encoding="utf-8") as file:
            cls.expected = json.load(file)
        cls.golden = read_npy(os.path.join(FOLDER, "golden.npy"))
        cls.rows = {dtype: embed(cls.items, dtype) for dtype in LIMIT}

    def test_golden_is_of_this_model(self):
        path = json.loads(run_program("info", "--json"))["path"]
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        self.assertEqual(digest, self.expected["model_sha256"],
                         f"{path} is not the model of tests/data/tiny; {REFRESH}")

    def test_licences(self):
        """What is shipped beside code under Apache-2.0 asks for no more than to be named."""
        free = {"CC-BY-4.0", "CC-BY-3.0", "CC0-1.0", "MIT", "BSD-2-Clause", "Artistic-1.0",
                "LicenseRef-public-domain"}
        with open(os.path.join(FOLDER, "subset.tsv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        self.assertGreater(len(rows), 100)
        for row in rows:
            self.assertIn(row["licence"], free, row["file"])
            self.assertIn(row["split"], ("val", "test"), row["file"])
            self.assertRegex(row["credit"], r"\w.*; .*\w", row["file"])
        named = {os.path.basename(row["file"]) for row in rows}
        others = {"subset.tsv", "words.txt", "golden.npy", "expected.json"}
        self.assertLessEqual(set(os.listdir(FOLDER)), named | others, "a file without an author")

    def check_rows(self, dtype):
        worst = {}
        for (kind, _, value), got, want in zip(self.items, self.rows[dtype], self.golden,
                                               strict=True):
            self.assertEqual(len(got), len(want))
            distance = max(abs(a - b) for a, b in zip(got, want))
            self.assertLessEqual(distance, LIMIT[dtype], f"{kind} {value}, {dtype}")
            worst[kind] = max(worst.get(kind, 0.0), distance)
        print(dtype, "largest distances:", *(f"{kind} {d:.1e}" for kind, d in worst.items()))

    def test_rows_f32(self):
        self.check_rows("f32")

    def test_rows_f16(self):
        self.check_rows("f16")

    def test_figures(self):
        self.assertGreaterEqual(len(self.expected["figures"]), 7)
        for dtype, rows in self.rows.items():
            retrieval = Retrieval(self.items, rows)
            for name, want in self.expected["figures"].items():
                with self.subTest(dtype=dtype, figure=name):
                    first, five, count = retrieval.figure(*name.split("->"))
                    print(f"{dtype} {name:20s} R@1 {100 * first / count:5.1f}  "
                          f"R@5 {100 * five / count:5.1f}  of {count}")
                    self.assertEqual(count, want["n"])
                    self.assertLessEqual(abs(first - want["hits1"]), 1, "hits at rank 1")
                    self.assertLessEqual(abs(five - want["hits5"]), 1, "hits among the first 5")


def main():
    result = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], exit=False, verbosity=1).result
    failed = len(result.failures) + len(result.errors) + len(result.skipped)
    print(f"{max(result.testsRun - failed, 0)} passed, {failed} failed")
    return 0 if result.testsRun > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
