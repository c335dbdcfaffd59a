#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of tuning files and of the search: test_tune.py PROGRAM TEST_DATA GOLDEN_TEST

GOLDEN_TEST is the golden embedding test, run once more with a tuning file in force. The device is
ONP_TEST_DEVICE, or the automatic choice. No test looks at what wins: times never fail a test.
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys

GOLDEN_TEST = os.path.abspath(sys.argv.pop(3))
from test_cli import DEVICE, MODEL, BPE, Case, distance, main, rows_of

# Tiles that no class has, and that any CPU takes.
SECTIONS = ("[matmul]\nvector = 4\ntile_rows = 5\ntile_vectors = 3\n[attention]\nvector = 4\n"
            "attention_rows = 5\nattention_keys = 12\n[layernorm]\nvector = 16\n[grouped_conv]\n"
            "vector = 4\ntile_rows = 3\ntile_vectors = 2\n")
OPS = re.findall(r"\[(\w+)\]", SECTIONS)


class Tuned(Case):
    def setUp(self):
        super().setUp()
        listed = json.loads(self.run_program("devices", "--json"))
        chosen = listed["chosen"]
        if DEVICE != "auto":
            self.run_program("selftest", "--device", DEVICE, "--op", "l2norm", "--quick")
            chosen = int(re.search(r"device (\d+):", self.err).group(1))
        self.info = listed["devices"][chosen]
        self.memory = os.environ["XDG_CACHE_HOME"] + "/onepeace/tuning"  # kernels stay
        shutil.rmtree(self.memory, ignore_errors=True)
        self.env = {"XDG_CONFIG_HOME": self.path("config")}

    def head(self, **changes):
        keys = {"device": self.info["name"], "vendor": self.info["vendor"],
                "platform": self.info["platform"], "driver": self.info["driver"], **changes}
        return "format = 1\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())

    def embed(self, *args, text="dog", **more):
        env = {**self.env, **more.pop("env", {})}
        self.run_program("embed", "--model", MODEL, "--tokenizer", BPE, "--device", DEVICE,
                         "--text", text, "-o", self.path("out.npy"), *args, env=env, **more)
        return rows_of(self.path("out.npy"))

    def memories(self):
        return sorted(glob.glob(self.memory + "/*"))

    def outcomes(self):
        outcomes = []
        for path in self.memories():
            with open(path) as file:
                outcomes.append(file.read())
        return outcomes

    def tune(self, *args, **more):
        return self.run_program("tune", "--device", DEVICE, *args, env=self.env, **more)


class Files(Tuned):
    def test_rows_in_force_compute_the_same(self):
        plain = self.embed()
        self.assertNotIn("tiles from", self.err)
        path = self.write("tiles.txt", self.head() + SECTIONS)
        tuned = self.embed("--tuning", path)
        for op in OPS:
            self.assertIn(f"{op} tiles from {path}: ", self.err)
            self.assertIn(f"testing the {op} tiles", self.err)
        self.assertLess(distance(plain[0], tuned[0]), 5e-6)
        self.assertEqual(self.outcomes(), ["passed\n"] * len(OPS))
        self.embed(env={"ONEPEACE_TUNING": path})  # tested once
        self.assertIn(f"matmul tiles from {path}: ", self.err)
        self.assertNotIn("testing", self.err)
        self.embed("--no-tuning", env={"ONEPEACE_TUNING": path})
        self.assertNotIn("tiles from", self.err)
        self.embed(env={"ONEPEACE_TUNING": "none"})
        self.assertNotIn("tiles from", self.err)

    def test_a_row_that_failed_is_dropped(self):
        path = self.write("tiles.txt", self.head() + "[layernorm]\nvector = 16\n")
        self.embed("--tuning", path)
        (memory,) = self.memories()
        with open(memory, "w") as file:
            file.write("failed\n")
        self.embed("--tuning", path)
        line = self.head().count("\n") + 1
        self.assertIn(f"{path}:{line}: the layernorm tiles failed", self.err)
        self.assertIn(memory, self.err)
        self.assertIn("'onepeace tune --op layernorm'", self.err)
        self.assertNotIn("tiles from", self.err)

    def test_bad_files_never_break_a_run(self):
        for content, words in [
                ("what\n", ":1:"), (self.head(driver="0.0") + SECTIONS, ":5:"),
                (self.head(device="Other") + SECTIONS, ":2: is for the device"),
                (self.head() + "[matmul]\ntile_rows = 1000\n", ":7: \"tile_rows\" is 1 to 16"),
                (b"\x7fELF\x00\x01", "control character"), (b"\n" * 40000, "bytes")]:
            path = self.write("bad.txt", content)
            self.embed("--tuning", path)
            self.assertIn(path, self.err)
            self.assertIn(words, self.err)
            self.assertIn("--no-tuning", self.err)
            self.assertNotIn("tiles from", self.err)
        self.embed("--tuning", self.path("absent.txt"))
        self.assertIn("cannot open " + self.path("absent.txt"), self.err)

    def test_goldens_with_a_file_in_force(self):
        path = self.written_for_device()
        env = {**os.environ, **self.env}
        done = subprocess.run([GOLDEN_TEST], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout.decode()[-2000:])
        self.assertEqual(self.outcomes(), ["passed\n"] * len(OPS), "not in force: " + path)

    def written_for_device(self):
        """The user's file, where opening the device finds it; its name comes from a search."""
        other = self.write("other.txt", self.head() + SECTIONS)
        self.tune("--op", "layernorm", "--model", MODEL, "--seconds", "1", "--dry-run")
        found = re.search(r"the user's file is (.+)\n", self.err).group(1)
        self.assertTrue(found.startswith(self.path("config") + "/onepeace/tuning/"))
        os.makedirs(os.path.dirname(found))
        os.rename(other, found)
        return found


class Search(Tuned):
    def test_search(self):
        out = self.tune("--model", MODEL, "--op", "layernorm", "--seconds", "25", "-o",
                        self.path("found.txt"))
        lines = out.splitlines()
        self.assertRegex(lines[0], r"^result +layernorm +pairs +ratio +bound +tiles$")
        self.assertRegex(lines[1], r"^noise +0 of \d+ +\d+ +\d\.\d{4} +\d\.\d{4} +a gain must exceed "
                                   r"[1-9]\d*\.\d %$|^skipped ")
        words = {line.split()[0] for line in lines[1:]}
        self.assertLessEqual(words, {"noise", "refused", "slower", "close", "kept", "skipped"})
        if "kept" not in words:
            self.assertFalse(os.path.exists(self.path("found.txt")))
            return
        self.embed("--tuning", self.path("found.txt"))
        self.assertIn("layernorm tiles from", self.err)

    def test_sections_of_other_operations_stay(self):
        path = self.write("tiles.txt", self.head() + SECTIONS)
        self.tune("--model", MODEL, "--op", "layernorm", "--seconds", "8", "-o", path)
        with open(path) as file:
            text = file.read()
        self.assertIn("[matmul]\nvector = 4\ntile_rows = 5\ntile_vectors = 3\n", text)
        self.assertIn("\ndevice = " + self.info["name"] + "\n", text)
        self.assertRegex(text, r"\ndate = \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n")
        self.embed("--tuning", path)
        self.assertIn("matmul tiles from", self.err)

    def test_dry_run_writes_nothing(self):
        self.tune("--model", MODEL, "--op", "grouped", "--seconds", "1", "--dry-run")
        self.assertFalse(os.path.exists(self.path("config")))

    def test_wrong_use(self):
        self.fails(2, ["exclude"], "tune", "--model", MODEL, "--synthetic", "micro")
        self.fails(1, ["softmax", "matmul"], "tune", "--device", DEVICE, "--model", MODEL, "--op",
                   "softmax")
        self.fails(1, ["reference"], "tune", "--device", "ref", "--model", MODEL)


if __name__ == "__main__":
    main()
