#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the default model: test_default.py PROGRAM TEST_DATA BUILD_FOLDER

Whatever model stands in the data folder under the default's name is taken, and nothing in the
program knows which: here it is a converted micro checkpoint. All runs on `ref`.
"""
import json
import os
import shutil
import subprocess
import sys

import test_cli
from test_cli import BPE, DERIVED, MODEL, PICTURE, SOUND, Case, main, rows_of

BUILD = os.path.abspath(sys.argv.pop(3))
NAME = "onepeace-tiny.safetensors"
OTHER = DERIVED + "/retrieval_fp16.pt"
CHOICE = "(the default; --model or ONEPEACE_MODEL choose another)"
ITEMS = ["--text", "cow", "--image", PICTURE, "--audio", SOUND]


class DefaultModel(Case):
    def setUp(self):
        super().setUp()
        self.data = self.path("data")
        os.mkdir(self.data)
        self.default = os.path.join(self.data, NAME)
        self.run_program("convert", MODEL, self.default, "--tokenizer", BPE)

    def with_data(self, *args, env=None, **more):
        """Runs with the data folder set; the model is found there."""
        return self.run_program(*args, env={"ONEPEACE_DATADIR": self.data, **(env or {})}, **more)

    def rows(self, *args, env=None):
        self.with_data("embed", "--device", "ref", "-o", "x.npy", *args, *ITEMS, env=env)
        return rows_of(self.path("x.npy"))

    def test_neither_option_nor_environment(self):
        rows = self.rows()
        self.assertTrue(self.err.startswith("onepeace: model "), self.err)
        self.assertIn(f"model {self.default} {CHOICE}\n", self.err)
        self.assertEqual(rows, self.rows("--model", MODEL, "--tokenizer", BPE))
        self.assertNotIn(NAME, self.err)
        self.rows(env={"ONEPEACE_MODEL": ""})
        self.assertIn(CHOICE, self.err)
        self.rows("--quiet")
        self.assertEqual(self.err, "")

    def test_others_win(self):
        self.rows("--tokenizer", BPE, env={"ONEPEACE_MODEL": OTHER})
        self.assertIn(f"model {OTHER} (from ONEPEACE_MODEL)", self.err)
        self.assertNotIn(NAME, self.err)
        self.rows("--tokenizer", BPE, "--model", OTHER, env={"ONEPEACE_MODEL": "wrong"})
        self.assertNotIn(NAME, self.err)

    def test_every_command(self):
        folder = self.path("folder")
        os.mkdir(folder)
        shutil.copy(PICTURE, folder)
        run = ["--device", "ref"]
        for args in (["similarity", *run, *ITEMS], ["tokenize", "a dog"], ["info"],
                     ["preprocess", "--image", PICTURE, "-o", "p.npy"],
                     ["preprocess", "--audio", SOUND, "-o", "q.npy"],
                     ["index", folder, "--index", "i", *run],
                     ["search", folder, "--index", "i", "--text", "cow", *run]):
            self.with_data(*args)
            self.assertIn(f"model {self.default} {CHOICE}\n", self.err, args)
        info = json.loads(self.with_data("info", "--json"))
        self.assertEqual(os.path.realpath(info["path"]), os.path.realpath(self.default))
        self.assertEqual(json.loads(self.with_data("info", "--json", OTHER))["path"], OTHER)
        self.with_data("info", env={"ONEPEACE_MODEL": OTHER})
        self.assertIn(f"model {OTHER} (from ONEPEACE_MODEL)", self.err)

    def test_help(self):
        for command in "embed", "similarity", "search", "index", "tokenize", "preprocess", "info":
            text = " ".join(self.run_program(command, "--help").split())
            self.assertIn("the small model that comes with the program", text)
        self.assertIn("ONEPEACE_DATADIR", self.run_program("--help"))

    def test_missing(self):
        os.remove(self.default)
        words = ["no model", self.default, "No such file", "--model", "ONEPEACE_MODEL",
                 "ONEPEACE_DATADIR"]
        for args in (["embed", *ITEMS, "-o", "x.npy"], ["similarity", *ITEMS], ["info"],
                     ["tokenize", "a"], ["preprocess", "--audio", SOUND, "-o", "x.npy"],
                     ["index", self.data, "--index", "i"],
                     ["search", self.data, "--index", "i", "--text", "a"]):
            self.fails(2, words, *args, env={"ONEPEACE_DATADIR": self.data})
        self.run_program("tokenize", "--tokenizer", BPE, "a")
        self.run_program("preprocess", "--image", PICTURE, "--size", "64", "-o", "p.npy")
        self.no_output("data", "p.npy")

    def test_damaged(self):
        """It goes through the same checks as every other file."""
        with open(self.default, "r+b") as file:
            file.truncate(1000)
        self.fails(1, [self.default, "cut off"], "info", env={"ONEPEACE_DATADIR": self.data})
        self.write(self.default, b"")
        self.fails(1, self.default, "embed", *ITEMS, "-o", "x.npy",
                   env={"ONEPEACE_DATADIR": self.data})
        os.remove(self.default)
        os.mkdir(self.default)
        self.fails(1, self.default, "info", env={"ONEPEACE_DATADIR": self.data})


class Places(Case):
    """The data folder seen from the program, which is run as a copy would be."""

    def model_of(self, program, code=0, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ONEPEACE_")}
        done = subprocess.run([program, "info", "--json"], env={**clean, **env}, cwd=self.dir,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout)["path"] if code == 0 else done.stderr

    def install(self):
        """`meson install` into a folder that is then moved: (program, data folder, libraries)."""
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir",
                        self.path("stage")], check=True, capture_output=True)
        options = json.loads(subprocess.run(["meson", "introspect", BUILD, "--buildoptions"],
                                            check=True, capture_output=True).stdout)
        value = {option["name"]: option["value"] for option in options}
        os.rename(self.path("stage") + value["prefix"], self.path("moved"))
        shutil.rmtree(self.path("stage"))
        return [os.path.join(self.path("moved"), value[part], name)
                for part, name in (("bindir", "onepeace"), ("datadir", "onepeace"), ("libdir", ""))]

    def test_moved_installation(self):
        program, data, libraries = self.install()
        env = {"LD_LIBRARY_PATH": libraries}
        source = os.path.join(test_cli.DATA, "../../models/tiny")
        for folder, _, names in os.walk(os.path.join(source, "demo")):
            for name in names:
                there = os.path.relpath(os.path.join(folder, name), source)
                self.assertTrue(os.path.isfile(os.path.join(data, there)), there)
        installed = os.path.join(data, NAME)
        self.assertTrue(os.path.samefile(self.model_of(program, **env), installed))
        os.symlink(program, self.path("link"))  # what a PATH often holds
        self.assertTrue(os.path.samefile(self.model_of(self.path("link"), **env), installed))
        os.mkdir(self.path("data"))
        self.run_program("convert", MODEL, self.path("data/" + NAME))
        self.assertEqual(self.model_of(program, ONEPEACE_DATADIR=self.path("data"), **env),
                         self.path("data/" + NAME))
        self.assertIn("/nowhere/" + NAME,
                      self.model_of(program, 2, ONEPEACE_DATADIR="/nowhere", **env))

    def test_build_tree(self):
        """The program of the build tree takes the folder that the file beside it names."""
        os.makedirs(self.path("tree/tiny"))
        shutil.copy(test_cli.PROGRAM, self.path("tree/onepeace"))
        env = {"LD_LIBRARY_PATH": BUILD}
        program = self.path("tree/onepeace")
        self.run_program("convert", MODEL, self.path("tree/tiny/" + NAME))
        self.assertIn("tree/../share/onepeace/" + NAME, self.model_of(program, 2, **env))
        for line in self.path("tree/tiny"), self.path("tree/tiny\n"):
            self.write("tree/onepeace.datadir", line)
            self.assertEqual(self.model_of(program, **env), self.path("tree/tiny/" + NAME))
        for line in "", "\n", "/nowhere\n", "x" * 10000:
            self.write("tree/onepeace.datadir", line)
            self.assertIn("tree/../share/onepeace/" + NAME, self.model_of(program, 2, **env))
        with open(os.path.join(BUILD, "onepeace.datadir"), encoding="utf-8") as file:
            self.assertTrue(os.path.samefile(file.read().strip(),
                                             os.path.join(test_cli.DATA, "../../models/tiny")))


if __name__ == "__main__":
    sys.exit(main())
