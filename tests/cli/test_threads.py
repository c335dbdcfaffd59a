#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of what several threads do: test_threads.py PROGRAM TEST_DATA

Lists with more files than threads, damaged ones among them, to their end and broken off; an index
and a search whose reader goes away. Short enough for the thread sanitizer, whose exit status makes
a test fail. The device is ONP_TEST_DEVICE, or the automatic choice. Standard library only.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM, DATA = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
MICRO, OWN = DATA + "/golden/micro", DATA + "/golden/own"
MODEL, BPE = MICRO + "/ckpt/retrieval_fp32.pt", MICRO + "/bpe"
DEVICE = os.environ.get("ONP_TEST_DEVICE") or "auto"
ITEMS, BAD = 30, (7, 8, 19)


class Threads(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        os.mkdir(self.path("files"))
        for i in range(4):
            shutil.copy(OWN + "/scene.png", self.path(f"files/{i}.png"))
            shutil.copy(OWN + "/chirps.wav", self.path(f"files/{i}.wav"))
        for name in ("bad.png", "bad.wav"):
            with open(self.path("files/" + name), "wb") as file:
                file.write(b"RIFF or not")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def run_program(self, *args, code):
        done = subprocess.run([PROGRAM, *args], cwd=self.folder.name, stderr=subprocess.PIPE,
                              stdout=subprocess.PIPE, check=False, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def embed(self, *more):
        kinds = ["text\ttwo cows", "image\tfiles/0.png", "audio\tfiles/0.wav"]
        lines = [kinds[i % 3] for i in range(ITEMS)]
        for i in BAD:
            lines[i] = "image\tfiles/bad.png" if i % 2 else "audio\tfiles/bad.wav"
        with open(self.path("l.tsv"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        return self.run_program("embed", "--model", MODEL, "--tokenizer", BPE, "--device", DEVICE,
                                "--input", "l.tsv", "-o", "x.jsonl", *more, code=1).stderr

    def test_damaged_files(self):
        told = self.embed("--keep-going", "--batch", "4")
        self.assertIn(f"{len(BAD)} of {ITEMS} items skipped", told)
        with open(self.path("x.jsonl"), encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), ITEMS - len(BAD))

    def test_broken_off(self):
        self.assertIn(f"l.tsv:{BAD[0] + 1}: ", self.embed())
        self.assertFalse(os.path.exists(self.path("x.jsonl")))

    def test_search(self):
        search = ["search", "files", "--model", MODEL, "--device", DEVICE, "--index", "i.sqlite",
                  "--image", "files/0.png"]
        self.assertIn("0.png", self.run_program(*search, code=0).stdout)
        with subprocess.Popen([PROGRAM, *search], cwd=self.folder.name, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as gone:
            gone.stdout.close()
            told = gone.stderr.read()
        self.assertEqual(gone.returncode, 1, told)


def main():
    result = unittest.main(argv=sys.argv[:1] + sys.argv[3:], exit=False).result
    failed = len(result.failures) + len(result.errors) + len(result.skipped)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
