#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of long lists: test_long.py PROGRAM TEST_DATA

Items are prepared by several threads and run in batches of their kind; the rows come out in the
items' order with the values that each item has alone, and errors are told in order. The device is
ONP_TEST_DEVICE, or the automatic choice. Standard library only.
"""
import array
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM, DATA = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
MICRO = DATA + "/golden/micro"
MODEL, BPE = MICRO + "/ckpt/retrieval_fp32.pt", MICRO + "/bpe"
PICTURE, SOUND = DATA + "/golden/own/scene.png", DATA + "/golden/own/chirps.wav"
DEVICE = os.environ.get("ONP_TEST_DEVICE") or "auto"
DIM, COUNT, BAD = 64, 500, (260, 333)


def distance(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


class LongLists(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def embed(self, lines, *more, code=0):
        """Rows of the items of a list; None if nothing is written."""
        with open(self.path("l.tsv"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        done = subprocess.run(
            [PROGRAM, "embed", "--model", MODEL, "--tokenizer", BPE, "--device", DEVICE, "--input",
             "l.tsv", "-o", "x.npy", *more], cwd=self.folder.name, stderr=subprocess.PIPE,
            check=False, text=True)
        self.err = done.stderr
        self.assertEqual(done.returncode, code, self.err)
        if not os.path.exists(self.path("x.npy")):
            return None
        with open(self.path("x.npy"), "rb") as file:
            values = array.array("f", file.read()[128:])
        os.unlink(self.path("x.npy"))
        return [values[i:i + DIM] for i in range(0, len(values), DIM)]

    def long_list(self):
        """Items of all kinds, mixed, and the rows that they have alone."""
        texts = ["two cows", "a dog", "rain on a roof", "cow", "the sound of a goat at night"]
        kinds = ["text\t" + text for text in texts] + ["image\t" + PICTURE, "audio\t" + SOUND]
        alone = [self.embed([kind])[0] for kind in kinds]
        # Few pictures and sounds: they take longest.
        order = [(7 * i * i + i // 3) % 5 if i % 50 else 5 + i // 50 % 2 for i in range(COUNT)]
        return [kinds[k] for k in order], [alone[k] for k in order]

    def same(self, got, want):
        self.assertEqual(len(got), len(want))
        for i, (a, b) in enumerate(zip(got, want)):
            self.assertLess(distance(a, b), 1e-6, f"row {i}")

    def test_order(self):
        lines, rows = self.long_list()
        for more in ([], ["--batch", "1"], ["--batch", "7"]):
            self.same(self.embed(lines, *more), rows)

    def test_error_far_down(self):
        lines, rows = self.long_list()
        with open(self.path("not.png"), "wb") as file:
            file.write(b"no picture")
        for at in BAD:
            lines[at] = "image\tnot.png"
        self.assertIsNone(self.embed(lines, code=1))
        self.assertIn(f"l.tsv:{BAD[0] + 1}: image not.png: ", self.err)
        self.assertNotIn(f"l.tsv:{BAD[1] + 1}: ", self.err)
        got = self.embed(lines, "--keep-going", code=1)
        self.assertIn(f"2 of {COUNT} items skipped, {COUNT - 2} embedded", self.err)
        first, second = [self.err.index(f"l.tsv:{at + 1}: ") for at in BAD]
        self.assertLess(first, second)
        self.same(got, [row for i, row in enumerate(rows) if i not in BAD])

    def test_padding_keeps_its_batches(self):
        """With upstream's padding a sound's row depends on its batch, which a list must not move."""
        samples = array.array("f", [((37 * i) % 101 - 50) / 50 for i in range(9000)])
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (9000,), }"
        with open(self.path("short.npy"), "wb") as file:
            file.write(b"\x93NUMPY\x01\x00\x76\x00" + f"{header:<117}\n".encode())
            samples.tofile(file)
        short, long = "audio\tshort.npy", "audio\t" + SOUND
        lines = [long, short, short, short, short, short, long, long]
        want = self.embed(lines, "--upstream-padding", "--batch", "4")
        self.assertGreater(distance(want[1], self.embed([short])[0]), 1e-6)  # padded
        self.same(self.embed(lines * 20, "--upstream-padding", "--batch", "4"), want * 20)


def main():
    result = unittest.main(argv=sys.argv[:1] + sys.argv[3:], exit=False).result
    failed = len(result.failures) + len(result.errors) + len(result.skipped)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
