#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the program: test_cli.py PROGRAM TEST_DATA

Runs it as a user does and looks at exit codes, standard output, standard error and files. The
device is ONP_TEST_DEVICE, or the automatic choice; what does not depend on one runs on `ref`.
Standard library only.
"""
import array
import ast
import csv
import json
import math
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM, DATA = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
DERIVED = os.environ["ONP_TEST_DERIVED"]  # files written when the tests were built
GOLDEN, MICRO = DATA + "/golden", DATA + "/golden/micro"
MODEL = MICRO + "/ckpt/retrieval_fp32.pt"
TEXT_ONLY_ITEMS = ["--text", "cow"]
BPE = MICRO + "/bpe"
PICTURE, SOUND = GOLDEN + "/own/scene.png", GOLDEN + "/own/chirps.wav"
DEVICE = os.environ.get("ONP_TEST_DEVICE") or "auto"
COMMANDS = ["demo", "embed", "similarity", "search", "index", "devices", "info", "tokenize", "preprocess", "convert", "selftest", "tune"]
COMMANDS = ["demo", "embed", "similarity", "search", "index", "devices", "info", "tokenize", "preprocess", "convert", "bench", "selftest"]
TOLERANCE = 5e-6  # of embeddings, as the golden tests have it


def read_npy(path):
    """(shape, values) of a float32 or int64 .npy."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x93NUMPY\x01\x00", path
    size = struct.unpack_from("<H", data, 8)[0]
    assert (size + 10) % 64 == 0 and data[9 + size:10 + size] == b"\n", path
    header = ast.literal_eval(data[10:10 + size].decode("latin-1"))
    assert not header["fortran_order"], path
    values = array.array({"<f4": "f", "<i8": "q", "|u1": "B"}[header["descr"]], data[10 + size:])
    if sys.byteorder == "big":
        values.byteswap()
    assert len(values) == math.prod(header["shape"]), path
    return header["shape"], values


def write_npy(path, shape, values):
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': %r, }" % (tuple(shape),)
    text += " " * (-(len(text) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
        file.write(struct.pack("<%df" % len(values), *values))


def rows_of(path):
    shape, values = read_npy(path)
    return [values[i * shape[1]:(i + 1) * shape[1]] for i in range(shape[0])]


def distance(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="onepeace-cli-")
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def run_program(self, *args, code=0, stdin=b"", env=None, **more):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ONEPEACE_")}
        environment["ONEPEACE_DATADIR"] = self.path("no-data")  # no default model
        environment.update(env or {})
        more.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run([PROGRAM, *args], input=stdin, stderr=subprocess.PIPE, cwd=self.dir,
                              env=environment, timeout=600, check=False, **more)
        self.out = (done.stdout or b"").decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")
        self.assertEqual(done.returncode, code, f"{args}\n{self.out}\n{self.err}")
        return self.out

    def fails(self, code, words, *args, **more):
        """The program ends with `code`, says every one of `words`, and prints no result."""
        self.run_program(*args, code=code, **more)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, self.err)
        self.assertEqual(self.out, "")

    def embed(self, out, *items, code=0, device=DEVICE, model=MODEL, **more):
        self.run_program("embed", "--model", model, "--tokenizer", BPE, "--device", device, "-o",
                         self.path(out), *items, code=code, **more)
        return rows_of(self.path(out)) if out.endswith(".npy") and os.path.exists(
            self.path(out)) else None

    def no_output(self, *names):
        left = sorted(os.listdir(self.dir))
        self.assertEqual(left, sorted(names), "files are left behind")


class Help(Case):
    def test_program(self):
        out = self.run_program("--help")
        self.assertEqual(self.err, "")
        self.assertTrue(out.startswith("usage: onepeace COMMAND"))
        for command in COMMANDS:
            self.assertRegex(out, rf"\n  {command} +\w")
        self.assertIn("Exit status: 0 success, 1 failed, 2 wrong use.", out)
        self.assertEqual(self.run_program("-h"), out)

    def test_version(self):
        self.assertRegex(self.run_program("--version"), r"^onepeace \d+\.\d+\.\d+ \(.+\)\n$")

    def test_every_command(self):
        for command in COMMANDS:
            out = self.run_program(command, "--help")
            self.assertEqual(self.err, "")
            self.assertTrue(out.startswith(f"usage: onepeace {command} "), out)
            self.assertIn("\nOptions:\n", out)
            self.assertIn("  -h, --help ", out)
            self.assertTrue(all(len(line) <= 100 for line in out.splitlines()), out)
            self.assertEqual(self.run_program(command, "-h"), out)

    def test_options_named(self):
        expected = {
            "embed": "model tokenizer device dtype text image audio input output combine keep-going"
                     " mode force cache-dir no-cache quiet verbose explain profile"
                     " upstream-padding batch disable-variant tuning no-tuning",
            "similarity": "model tokenizer device dtype text image audio input json scale keep-going",
            "search": "text image audio input top html json index model tokenizer mode dtype device quiet",
            "index": "index model dtype batch device quiet",
            "demo": "html data model tokenizer mode dtype batch device quiet",
            "devices": "json", "info": "json", "tokenize": "model tokenizer mode",
            "preprocess": "image audio model size output", "convert": "branch dtype tokenizer",
            "selftest": "device quick op seed disable-variant",
        }
        for command, names in expected.items():
            out = self.run_program(command, "--help")
            for name in names.split():
                self.assertRegex(out, rf"\n  (-\w, )?--{name}[ \n]")

    def test_help_wins_over_what_is_missing(self):
        self.assertTrue(self.run_program("embed", "--text", "a", "--help").startswith("usage"))


class WrongUse(Case):
    def test_no_command(self):
        self.fails(2, "usage: onepeace COMMAND")

    def test_unknown_command(self):
        self.fails(2, ["unknown command 'embd'", "did you mean 'embed'?"], "embd")
        self.fails(2, "unknown command 'xyzzy'", "xyzzy")
        self.assertNotIn("did you mean", self.err)
        self.fails(2, "unknown option '--modle'", "--modle")

    def test_unknown_option(self):
        for command in COMMANDS:
            self.fails(2, ["unknown option --quiett", "did you mean --quiet?",
                           f"Try 'onepeace {command} --help'."], command, "--quiett")
        self.fails(2, ["unknown option --devic;", "--device"], "embed", "--devic=0")
        self.fails(2, "unknown option -z", "embed", "-z")
        self.fails(2, "unknown option --zzzzzzzzzz", "embed", "--zzzzzzzzzz")

    def test_values(self):
        self.fails(2, "--text needs a value", "embed", "--text")
        self.fails(2, ["--text needs a value, but --image follows", "--text=--image"],
                   "embed", "--text", "--image", "a.png")
        self.fails(2, "--output needs a value", "embed", "-o")
        self.fails(2, "--combine takes no value", "embed", "--combine=yes")
        self.fails(2, ["--dtype 'f64' is unknown", "f32|f16"], "embed", "--dtype", "f64")
        self.fails(2, ["--mode 'HUB' is unknown", "hub|dataset"], "tokenize", "--mode", "HUB", "a")
        for bad in "0", "-1", "1.5", "abc", "", "99999999999999999999999":
            self.fails(2, f"--batch '{bad}' is not a whole number from 1", "embed", f"--batch={bad}")
        self.fails(2, "--size '4097'", "preprocess", "--size", "4097")

    def test_embed(self):
        good = ["embed", "--model", MODEL, *TEXT_ONLY_ITEMS]
        self.fails(2, ["no model", "ONEPEACE_MODEL"], "embed", *TEXT_ONLY_ITEMS, "-o", "x.npy")
        self.fails(2, "no output", *good)
        self.fails(2, ["x.txt", ".npy, .jsonl or .csv"], *good, "-o", "x.txt")
        self.fails(2, "must end in", *good, "-o", ".npy")
        self.fails(2, "nothing to embed", "embed", "--model", MODEL, "-o", "x.npy")
        self.fails(2, "unexpected argument 'dog'", *good, "-o", "x.npy", "dog")
        self.fails(2, "--input - can be given only once", *good, "-o", "x.npy", "--input", "-",
                   "--input", "-")
        self.no_output()

    def test_similarity(self):
        self.fails(2, "no model", "similarity", *TEXT_ONLY_ITEMS)
        self.fails(2, "nothing to embed", "similarity", "--model", MODEL)

    def test_tokenize(self):
        self.fails(2, "missing argument: TEXT", "tokenize", "--tokenizer", BPE)
        self.fails(2, "missing argument: TEXT", "tokenize", "--tokenizer", BPE, "--")
        self.fails(2, "no model", "tokenize", "a")
        self.fails(2, "not both", "tokenize", "--tokenizer", BPE, "--model", MODEL, "a")

    def test_preprocess(self):
        self.fails(2, "one of --image and --audio", "preprocess", "-o", "x.npy")
        self.fails(2, "one of --image and --audio", "preprocess", "--image", PICTURE, "--audio",
                   SOUND, "-o", "x.npy")
        self.fails(2, "no output", "preprocess", "--image", PICTURE)
        self.fails(2, "must end in .npy", "preprocess", "--image", PICTURE, "-o", "x.csv")
        self.fails(2, "--size is for --image", "preprocess", "--audio", SOUND, "--size", "64",
                   "-o", "x.npy")
        self.fails(2, "not both", "preprocess", "--image", PICTURE, "--size", "64", "--model",
                   MODEL, "-o", "x.npy")

    def test_convert(self):
        self.fails(2, "missing argument: IN OUT.safetensors", "convert", MODEL)
        self.fails(2, "must end in .safetensors", "convert", MODEL, "x.pt")
        self.fails(2, ["--branch 'video' is unknown", "text,image,audio"], "convert", MODEL,
                   "x.safetensors", "--branch", "text,video")
        self.fails(2, "--branch '' is unknown", "convert", MODEL, "x.safetensors", "--branch=text,")
        self.fails(2, "--dtype 'i8'", "convert", MODEL, "x.safetensors", "--dtype", "i8")

    def test_info_devices(self):
        self.fails(2, "no model", "info")
        self.fails(2, "unexpected argument 'b'", "info", "a", "b")
        self.fails(2, "unexpected argument 'a'", "devices", "a")
        self.fails(2, "unexpected argument 'a'", "selftest", "a")

    def test_variants_and_devices(self):
        base = ["embed", "--model", MODEL, "--tokenizer", BPE, *TEXT_ONLY_ITEMS, "-o", "x.npy"]
        self.fails(2, "no_such_variant", *base, "--device", "ref", "--disable-variant",
                   "no_such_variant")
        self.fails(1, "no-such-device", *base, "--device", "no-such-device")
        self.fails(1, "99", *base, "--device", "99")
        self.fails(1, "no-such-device", *base, env={"ONEPEACE_DEVICE": "no-such-device"})
        self.assertIn("ONEPEACE_DEVICE", self.err)
        self.no_output()


class Models(Case):
    def test_unreadable(self):
        self.write("empty.pt", "")
        self.write("text.pt", "this is no model\n" * 100)
        with open(MODEL, "rb") as file:
            self.write("cut.pt", file.read()[:100000])
        for name in "missing.pt", ".", "empty.pt", "text.pt", "cut.pt":
            for args in (["info", name], ["embed", "--model", name, "--image", PICTURE, "-o",
                                          "x.npy"], ["convert", name, "x.safetensors"]):
                self.fails(1, [name, "error: "], *args)
        self.no_output("empty.pt", "text.pt", "cut.pt")

    def test_no_tokenizer(self):
        self.fails(1, ["holds no tokenizer", "--tokenizer"], "embed", "--model", MODEL, "--text", "a",
                   "--text", "b", "-o", "x.npy")
        self.assertEqual(self.err.count("error:"), 1)
        self.fails(1, "--tokenizer", "tokenize", "--model", MODEL, "a")
        self.fails(1, "nowhere", "embed", "--model", MODEL, "--tokenizer", "nowhere", "--text", "a",
                   "-o", "x.npy")
        self.fails(1, "nowhere", "tokenize", "--tokenizer", "nowhere", "a")
        self.no_output()

    def test_missing_branch(self):
        self.run_program("convert", MODEL, "image.safetensors", "--branch", "image")
        self.fails(1, ["image.safetensors", "no audio branch"], "embed", "--model",
                   "image.safetensors", "--audio", SOUND, "-o", "x.npy")
        self.no_output("image.safetensors")

    def test_info(self):
        info = json.loads(self.run_program("info", MODEL, "--json"))
        expected = {"path": MODEL, "format": "torch-zip", "family": "one-peace", "head_type": "val",
                    "dtype": "f32", "has_tokenizer": False, "partial": [],
                    "modalities": ["text", "image", "audio"], "embed_dim": 64, "ffn_dim": 256,
                    "layers": 3, "heads": 4, "head_dim": 16, "vocab": 856, "image_size": 256,
                    "sample_rate": 16000, "max_audio_seconds": 15, "table_per_layer": False,
                    "file_bytes": os.path.getsize(MODEL)}
        for name, value in expected.items():
            self.assertEqual(info[name], value, name)
        scale = read_npy(MICRO + "/golden/sim/logit_scale_exp.npy")[1][0]
        self.assertAlmostEqual(info["logit_scale"], scale, delta=1e-5 * scale)
        for branch in info["branches"].values():
            memory = branch["memory"]
            self.assertGreater(memory["f32"]["weight_bytes"], memory["f16"]["weight_bytes"])
            self.assertGreaterEqual(memory["f32"]["weight_bytes"], 4 * branch["parameters"])
            self.assertGreater(memory["f16"]["arena_bytes"], 0)
        out = self.run_program("info", MODEL)
        for words in (r"^embedding +64$", r"^layers +3$", r"^head +val$", r"^  image +\d+ .* MiB"):
            self.assertRegex(out, re.compile(words, re.M))


class Lists(Case):
    def test_order_and_forms(self):
        """CR LF, a BOM, empty lines, no newline at the end; a list keeps its place."""
        listing = ("\ufefftext\tcow\r\n\r\nimage\t" + PICTURE + "\n\naudio\t" + SOUND +
                   "\ntext\tdog\twith tab")
        self.write("l.tsv", listing)
        self.embed("x.csv", "--text", "first", "--input", "l.tsv", "--text", "last", device="ref")
        with open(self.path("x.csv"), newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        self.assertEqual(rows[0][:4], ["index", "kind", "source", "e0"])
        self.assertEqual([row[:3] for row in rows[1:]],
                         [["0", "text", "first"], ["1", "text", "cow"], ["2", "image", PICTURE],
                          ["3", "audio", SOUND], ["4", "text", "dog\twith tab"],
                          ["5", "text", "last"]])

    def test_stdin(self):
        want = self.embed("a.npy", "--text", "cow", "--text", "dog", device="ref")
        got = self.embed("b.npy", "--input", "-", stdin=b"text\tcow\ntext\tdog\n", device="ref")
        self.assertEqual(want, got)
        self.fails(1, ["standard input:2", "no-file.png", "no such file"], "embed", "--model", MODEL,
                   "--input", "-", "-o", "x.npy", stdin=b"text\ta\nimage\tno-file.png\n")

    def test_bad_lines(self):
        with open(PICTURE, "rb") as file:
            self.write("broken.png", file.read()[:2000])
        self.write("broken.wav", "RIFF....WAVE")
        os.mkdir(self.path("folder"))
        bad = [(b"video\tx.mp4", "KIND<TAB>VALUE"), (b"no tab here", "KIND<TAB>VALUE"),
               (b"Text\tcow", "KIND<TAB>VALUE"), (b"# remark", "KIND<TAB>VALUE"),
               (b"\ttext", "KIND<TAB>VALUE"), (b"text\ta\0b", "zero byte"),
               (b"image\t", "path is empty"), (b"image\tmissing.png", "missing.png: no such file"),
               (b"audio\tfolder", "folder: is a folder"), (b"image\tbroken.png", "broken.png"),
               (b"audio\tbroken.wav", "broken.wav"), (b"image\t" + SOUND.encode(), "chirps.wav"),
               (b"audio\t" + PICTURE.encode(), "scene.png"), (b"text\ta\xff", "UTF-8")]
        for line, reason in bad:
            self.write("l.tsv", b"text\tcow\n\n" + line + b"\ntext\tdog\n")
            self.fails(1, ["l.tsv:3: ", reason], "embed", "--model", MODEL, "--tokenizer", BPE,
                       "--device", "ref", "--input", "l.tsv", "-o", "x.npy")
            self.no_output("l.tsv", "broken.png", "broken.wav", "folder")
        lines = b"".join(line + b"\n" for line, _ in bad)
        self.write("l.tsv", b"text\tcow\n" + lines + b"text\tdog\n")
        got = self.embed("x.npy", "--input", "l.tsv", "--keep-going", code=1, device="ref")
        self.assertIn(f"{len(bad)} of {len(bad) + 2} items skipped, 2 embedded", self.err)
        for i, (_, reason) in enumerate(bad):
            self.assertRegex(self.err, rf"l\.tsv:{i + 2}: .*{re.escape(reason)}")
        self.assertEqual(got, self.embed("y.npy", "--text", "cow", "--text", "dog", device="ref"))
        self.embed("x.jsonl", "--input", "l.tsv", "-k", code=1, device="ref")
        with open(self.path("x.jsonl"), encoding="utf-8") as file:
            self.assertEqual([json.loads(row)["index"] for row in file], [0, len(bad) + 1])

    def test_all_bad(self):
        self.write("old.npy", "old")
        self.write("l.tsv", "image\tmissing.png\nvideo\tx\n")
        self.embed("new.npy", "--input", "l.tsv", "--keep-going", code=1, device="ref")
        self.assertIn("2 of 2 items skipped, 0 embedded", self.err)
        self.no_output("old.npy", "l.tsv")

    def test_command_line_items(self):
        self.fails(1, ["item 2, --image nowhere.png: no such file"], "embed", "--model", MODEL,
                   "--text", "a", "--image", "nowhere.png", "-o", "x.npy")
        self.fails(1, ["item 1, --text 'a?b'", "UTF-8"], "embed", "--model", MODEL, "--tokenizer",
                   BPE, "--device", "ref", "--text", b"a\xffb", "-o", "x.npy")

    def test_unreadable_lists(self):
        self.write("empty.tsv", "\n\r\n")
        for name, reason in (("missing.tsv", "No such file"), (".", "directory"),
                             ("empty.tsv", "no lines")):
            self.fails(1, reason, "embed", "--model", MODEL, "--input", name, "-o", "x.npy")
        self.fails(1, "no lines", "embed", "--model", MODEL, "--input", "-", "-o", "x.npy")


class Outputs(Case):
    def test_refused_early(self):
        os.mkdir(self.path("d.npy"))
        os.mkfifo(self.path("pipe.npy"))
        for name, reason in (("nowhere/x.npy", "No such file"), ("d.npy", "is a folder"),
                             ("pipe.npy", "not a regular file"), ("/proc/x.npy", "/proc/x.npy"),
                             ("y" * 5000 + ".npy", "cannot write")):
            self.fails(1, reason, "embed", "--model", "missing.pt", *TEXT_ONLY_ITEMS, "-o", name)
            self.fails(1, reason, "preprocess", "--image", PICTURE, "--size", "64", "-o", name)
        self.fails(1, "No such file", "convert", MODEL, "nowhere/x.safetensors")
        self.no_output("d.npy", "pipe.npy")

    def test_failure_keeps_the_old_file(self):
        self.write("x.npy", "old")
        self.embed_failing("x.npy")
        with open(self.path("x.npy"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "old")
        self.no_output("x.npy", "bad.png")

    def embed_failing(self, out):
        self.write("bad.png", "no picture")
        self.run_program("embed", "--model", MODEL, "--tokenizer", BPE, "--device", "ref", "--text",
                         "a", "--image", "bad.png", "-o", out, code=1)

    def test_replaced(self):
        self.write("real.npy", "old")
        os.chmod(self.path("real.npy"), 0o600)
        os.symlink("real.npy", self.path("x.npy"))
        self.embed("x.npy", *TEXT_ONLY_ITEMS, device="ref")
        self.assertTrue(os.path.islink(self.path("x.npy")))
        self.assertEqual(len(rows_of(self.path("real.npy"))), 1)
        self.assertEqual(os.stat(self.path("real.npy")).st_mode & 0o777, 0o600)
        self.no_output("x.npy", "real.npy")

    def test_new_file_mode(self):
        before = os.umask(0o027)
        try:
            self.embed("x.npy", *TEXT_ONLY_ITEMS, device="ref")
        finally:
            os.umask(before)
        self.assertEqual(os.stat(self.path("x.npy")).st_mode & 0o777, 0o640)

    def test_formats_agree(self):
        items = ["--text", 'a, "b"', "--text", "été\n🐘", "--image", PICTURE, "--text", " lead"]
        sources = ['a, "b"', "été\n🐘", PICTURE, " lead"]
        want = self.embed("x.npy", *items, device="ref")
        self.embed("x.jsonl", *items, device="ref")
        self.embed("x.CSV", *items, device="ref")
        with open(self.path("x.jsonl"), encoding="utf-8") as file:
            objects = [json.loads(line) for line in file]
        with open(self.path("x.CSV"), newline="", encoding="utf-8") as file:
            table = list(csv.reader(file))
        self.assertEqual(table[0], ["index", "kind", "source"] + [f"e{i}" for i in range(64)])
        self.assertEqual([row[2] for row in table[1:]], sources)
        for i, row in enumerate(want):
            self.assertEqual(list(objects[i]), ["index", "kind", "source", "embedding"])
            self.assertEqual((objects[i]["index"], objects[i]["source"]), (i, sources[i]))
            self.assertEqual(array.array("f", objects[i]["embedding"]), row)
            self.assertEqual(array.array("f", map(float, table[i + 1][3:])), row)

    def test_undecodable_name(self):
        name = os.fsencode(self.dir) + b"/p\xff.png"
        shutil.copy(PICTURE, name)
        for out in "x.jsonl", "x.csv":
            self.embed(out, "--image", name, device="ref")
            with open(self.path(out), encoding="utf-8") as file:
                text = file.read()
            self.assertIn("p\\ufffd.png" if out == "x.jsonl" else "p\ufffd.png", text)

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            self.run_program("info", MODEL, code=1, stdout=full)
            self.assertIn("cannot write to standard output: No space left", self.err)
            self.run_program("--help", code=1, stdout=full)

    def test_file_size_limit(self):
        """A write that fails in the middle leaves neither the result nor the temporary file."""
        import resource
        self.run_program("preprocess", "--image", PICTURE, "--size", "256", "-o", "x.npy", code=1,
                         preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
                                             resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                (100000, 100000))))
        self.assertIn("cannot write", self.err)
        self.no_output()

    def test_closed_streams(self):
        for stream in (1, 2):
            done = subprocess.run(["sh", "-c", f'"$0" info "$1" {stream}>&-', PROGRAM, MODEL],
                                  capture_output=True, check=False)
            self.assertEqual(done.returncode, 1 if stream == 1 else 0)
        self.write("l.tsv", "video\tx\ntext\tcow\n")
        subprocess.run(["sh", "-c", '"$0" embed --device ref -k --model "$1" --tokenizer "$2"'
                        ' --input l.tsv -o x.npy 2>&- >&-', PROGRAM, MODEL, BPE], cwd=self.dir,
                       check=False)
        self.assertEqual(len(rows_of(self.path("x.npy"))), 1)

    def test_reader_gone(self):
        read, write = os.pipe()
        os.close(read)
        self.run_program("info", MODEL, code=1, stdout=write)
        os.close(write)
        self.assertEqual(self.err, "")


class Signals(Case):
    def interrupt(self, number):
        wave = read_npy(MICRO + "/golden/audio/src_audios.npy")
        write_npy(self.path("w.npy"), [4 * wave[0][1]], list(wave[1][:wave[0][1]]) * 4)
        self.write("l.tsv", "audio\tw.npy\n" * 2000)
        child = subprocess.Popen([PROGRAM, "embed", "--model", MODEL, "--device", "ref", "--input",
                                  "l.tsv", "-o", "x.npy"], cwd=self.dir, stderr=subprocess.PIPE)
        for _ in range(3000):
            if any(name.startswith(".onepeace-") for name in os.listdir(self.dir)):
                break
            time.sleep(0.01)
        else:
            child.kill()
            self.fail("no temporary file appeared")
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
        self.assertEqual(child.returncode, -number, err)
        self.no_output("w.npy", "l.tsv")

    def test_interrupt(self):
        self.interrupt(signal.SIGINT)

    def test_terminate(self):
        self.interrupt(signal.SIGTERM)


class Messages(Case):
    def test_environment(self):
        env = {"ONEPEACE_MODEL": MODEL, "ONEPEACE_DEVICE": "ref"}
        args = ["embed", "--tokenizer", BPE, *TEXT_ONLY_ITEMS, "-o", "x.npy"]
        self.run_program(*args, env=env)
        self.assertIn(f"model {MODEL} (from ONEPEACE_MODEL)", self.err)
        self.assertIn("device ref (from ONEPEACE_DEVICE)", self.err)
        self.assertRegex(self.err, r"device \d+: reference")
        self.run_program(*args, "--quiet", env=env)
        self.assertEqual(self.err, "")
        self.run_program(*args, "--model", MODEL, "--device", "ref",
                         env={"ONEPEACE_MODEL": "wrong", "ONEPEACE_DEVICE": "wrong"})
        self.assertNotIn("ONEPEACE_", self.err)
        self.fails(2, "no model", *args, env={"ONEPEACE_MODEL": ""})

    def test_control_characters(self):
        self.fails(1, "x?[31m.png", "embed", "--model", MODEL, "--image", "x\033[31m.png", "-o",
                   "x.npy")
        self.assertNotIn("\033", self.err)

    def test_explain_and_profile(self):
        if DEVICE == "ref":  # it has no variants and no clock
            self.embed("x.npy", *TEXT_ONLY_ITEMS, "--profile", code=1)
            self.assertIn("profile another device", self.err)
            return
        self.embed("x.npy", *TEXT_ONLY_ITEMS, "--explain", "--quiet")
        self.assertIn("matmul", self.err)
        self.embed("x.npy", *TEXT_ONLY_ITEMS, "--profile", "--quiet")
        self.assertRegex(self.err, r"op +variant +shape +calls +ms")
        self.assertRegex(self.err, r"\nmatmul +\w+ ")
        self.assertRegex(self.err, r"\ntotal +[\d.]+\ndevice busy [\d.]+ % of [\d.]+ s from .*\n$")

    def on_terminal(self, *args):
        leader, follower = pty.openpty()
        child = subprocess.Popen([PROGRAM, *args], cwd=self.dir, stderr=follower,
                                 stdout=subprocess.DEVNULL)
        os.close(follower)
        text = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:
                break
            if not part:
                break
            text += part
        os.close(leader)
        self.assertEqual(child.wait(), 0, text)
        return text.decode("utf-8", "replace")

    def test_progress(self):
        self.write("l.tsv", "text\tcow\n" * 130)
        args = ["embed", "--model", MODEL, "--tokenizer", BPE, "--device", "ref", "--input", "l.tsv",
                "-o", "x.npy"]
        text = self.on_terminal(*args, "--batch", "32")
        self.assertIn("embedding [", text)
        self.assertIn("] 128/130", text)
        self.assertNotIn("embedding [", self.on_terminal(*args, "--quiet"))
        self.run_program(*args)
        self.assertNotIn("embedding [", self.err)


class Embeddings(Case):
    def test_text(self):
        with open(MICRO + "/manifest.json", encoding="utf-8") as file:
            texts = json.load(file)["texts"]
        items = [word for text in texts for word in ("--text", text)]
        want = rows_of(MICRO + "/golden/text/emb_single.npy")
        for device in {DEVICE, "ref"}:
            for got, row in zip(self.embed("x.npy", *items, device=device), want, strict=True):
                self.assertLessEqual(distance(got, row), TOLERANCE)

    def waves(self):
        """The golden waveforms without the zeros that fill their batch."""
        (count, length), values = read_npy(MICRO + "/golden/audio/src_audios.npy")
        items = []
        for i in range(count):
            row = values[i * length:(i + 1) * length]
            while row[-1] == 0.0:
                row.pop()
            write_npy(self.path(f"wave{i}.npy"), [len(row)], row)
            items += ["--audio", f"wave{i}.npy"]
        return items

    def test_audio(self):
        items = self.waves()
        for options, name in (([], "emb_single"), (["--upstream-padding"], "emb")):
            want = rows_of(f"{MICRO}/golden/audio/{name}.npy")
            got = self.embed("x.npy", *items, *options)
            for a, b in zip(got, want, strict=True):
                self.assertLessEqual(distance(a, b), TOLERANCE, name)

    def test_picture_and_sound(self):
        want = rows_of(GOLDEN + "/own/image_emb.npy")[:1] + rows_of(GOLDEN + "/own/audio_emb.npy")
        got = self.embed("x.npy", "--image", PICTURE, "--audio", SOUND)
        for a, b in zip(got, want, strict=True):
            self.assertLessEqual(distance(a, b), TOLERANCE)

    def test_rows_do_not_depend_on_others(self):
        mixed = self.embed("x.npy", "--audio", SOUND, "--text", "cow", "--image", PICTURE, "--text",
                           "a photo of a dog", "--batch", "3")
        for i, item in enumerate((["--audio", SOUND], ["--text", "cow"], ["--image", PICTURE],
                                  ["--text", "a photo of a dog"])):
            self.assertLessEqual(distance(self.embed("y.npy", *item)[0], mixed[i]), 1e-6)

    def test_preprocess_round_trip(self):
        for kind, source in (("--image", PICTURE), ("--audio", SOUND)):
            self.run_program("preprocess", kind, source, "--model", MODEL, "-o", "p.npy")
            shape, _ = read_npy(self.path("p.npy"))
            self.assertEqual(len(shape), 3 if kind == "--image" else 1)
            if kind == "--image":
                self.run_program("preprocess", kind, source, "--size", "256", "-o", "q.npy")
                self.assertEqual(read_npy(self.path("p.npy")), read_npy(self.path("q.npy")))
            self.assertEqual(self.embed("x.npy", kind, "p.npy"), self.embed("y.npy", kind, source))

    def test_preprocess_size(self):
        self.run_program("preprocess", "--image", PICTURE, "--size", "64", "-o", "p.npy")
        self.assertEqual(read_npy(self.path("p.npy"))[0], (3, 64, 64))
        self.fails(1, "p.npy", "embed", "--model", MODEL, "--image", "p.npy", "-o", "x.npy")

    def test_combine(self):
        items = ["--text", "cow", "--image", PICTURE, "--audio", SOUND]
        rows = self.embed("x.npy", *items, device="ref")
        mean = [math.fsum(column) / 3 for column in zip(*rows)]
        norm = math.sqrt(math.fsum(v * v for v in mean))
        got = self.embed("y.npy", *items, "--combine", device="ref")
        self.assertEqual(len(got), 1)
        self.assertLessEqual(distance(got[0], [v / norm for v in mean]), 1e-6)
        self.embed("y.jsonl", *items, "--combine", device="ref")
        with open(self.path("y.jsonl"), encoding="utf-8") as file:
            row = json.loads(file.read())
        self.assertEqual((row["index"], row["kind"], row["source"]), (0, "combined", "3 items"))

    def test_f16_storage(self):
        items = ["--text", "a photo of a dog", "--image", PICTURE, "--audio", SOUND]
        full, half = self.embed("x.npy", *items), self.embed("y.npy", *items, "--dtype", "f16")
        self.assertNotEqual(full, half)
        for a, b in zip(full, half, strict=True):
            self.assertGreater(math.fsum(x * y for x, y in zip(a, b)), 0.9999)

    def test_converted(self):
        items = ["--text", "a photo of a dog", "--image", PICTURE, "--audio", SOUND]
        for name in "a.safetensors", "b.safetensors", "a.safetensors":
            self.run_program("convert", MODEL, name, "--tokenizer", BPE)
        with open(self.path("a.safetensors"), "rb") as a, open(self.path("b.safetensors"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        want = self.embed("x.npy", *items, device="ref")
        self.run_program("embed", "--device", "ref", "--model", "a.safetensors", "-o", "y.npy", *items)
        self.assertEqual(rows_of(self.path("y.npy")), want)
        info = json.loads(self.run_program("info", "a.safetensors", "--json"))
        self.assertEqual((info["format"], info["has_tokenizer"]), ("safetensors", True))
        self.run_program("convert", "a.safetensors", "c.safetensors", "--branch", "text,audio",
                         "--dtype", "bf16")
        info = json.loads(self.run_program("info", "c.safetensors", "--json"))
        self.assertEqual((info["modalities"], info["dtype"]), (["text", "audio"], "bf16"))
        self.no_output("a.safetensors", "b.safetensors", "c.safetensors", "x.npy", "y.npy")

    def test_long_list(self):
        """More items than a chunk holds, of mixed kinds, with a bad one in the second chunk."""
        lines = [f"text\tnumber {i}" for i in range(150)]
        lines[10], lines[100] = "image\t" + PICTURE, "audio\tmissing.wav"
        self.write("l.tsv", "\n".join(lines))
        rows = self.embed("x.npy", "--input", "l.tsv", "-k", code=1, device="ref")
        self.assertEqual(len(rows), 149)
        for at, item in ((0, ["--text", "number 0"]), (10, ["--image", PICTURE]),
                         (99, ["--text", "number 99"]), (148, ["--text", "number 149"])):
            one = self.embed("y.npy", *item, device="ref")[0]
            self.assertLessEqual(distance(one, rows[at]), 1e-6)


class Similarity(Case):
    ITEMS = ["--text", "cow", "--image", PICTURE, "--audio", SOUND, "--text", "dog\033[1m"]

    def similarity(self, *options):
        return self.run_program("similarity", "--model", MODEL, "--tokenizer", BPE, "--device", "ref",
                                *self.ITEMS, *options)

    def test_json(self):
        rows = self.embed("x.npy", *self.ITEMS, device="ref")
        plain = json.loads(self.similarity("--json"))
        scaled = json.loads(self.similarity("--json", "--scale"))
        scale = json.loads(self.run_program("info", MODEL, "--json"))["logit_scale"]
        self.assertEqual([i["kind"] for i in plain["items"]], ["text", "image", "audio", "text"])
        self.assertEqual([i["source"] for i in plain["items"]], self.ITEMS[1::2])
        self.assertEqual(plain["scale"], 1)
        self.assertAlmostEqual(scaled["scale"], scale, delta=1e-6 * scale)
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                dot = math.fsum(x * y for x, y in zip(a, b))
                self.assertAlmostEqual(plain["matrix"][i][j], dot, delta=1e-6)
                self.assertAlmostEqual(scaled["matrix"][i][j], dot * scale, delta=1e-5 * scale)

    def test_table(self):
        matrix = json.loads(self.similarity("--json"))["matrix"]
        lines = self.similarity().splitlines()
        self.assertEqual(lines[0].split(), ["1", "2", "3", "4"])
        self.assertEqual(len({len(line) for line in lines}), 1, "columns are not aligned")
        self.assertIn("dog?[1m", lines[4])
        for i, line in enumerate(lines[1:]):
            self.assertEqual([float(v) for v in line.split()[-4:]],
                             [round(v, 4) + 0.0 for v in matrix[i]])

    def test_keep_going(self):
        self.write("l.tsv", "text\tcow\nimage\tmissing.png\ntext\tdog\n")
        args = ["similarity", "--model", MODEL, "--tokenizer", BPE, "--device", "ref", "--input",
                "l.tsv", "--json"]
        self.fails(1, "l.tsv:2", *args)
        matrix = json.loads(self.run_program(*args, "-k", code=1))["matrix"]
        self.assertEqual([len(row) for row in matrix], [2, 2])


class Tokenize(Case):
    def test_goldens(self):
        for name, folder in (("micro", BPE), ("gpt2", DERIVED + "/bpe")):
            with open(f"{GOLDEN}/tokenizer/{name}.json", encoding="utf-8") as file:
                strings = [s for s in json.load(file)["strings"] if "\0" not in s["text"]]
            texts = [s["text"] for s in strings]
            for mode, key in (("hub", "hub"), ("dataset", "dataset")):
                out = self.run_program("tokenize", "--tokenizer", folder, "--mode", mode, "--", *texts)
                got = [json.loads(line) for line in out.splitlines()]
                self.assertEqual(got, [s[key] for s in strings])

    def test_options_end(self):
        one = self.run_program("tokenize", "--tokenizer", BPE, "--", "--mode", "-x")
        self.assertEqual(len(one.splitlines()), 2)
        self.fails(1, ["text 2", "UTF-8"], "tokenize", "--tokenizer", BPE, "good", b"\xc3(")


class Devices(Case):
    def test_list(self):
        found = json.loads(self.run_program("devices", "--json"))
        self.assertEqual([d["index"] for d in found["devices"]], list(range(len(found["devices"]))))
        self.assertEqual(found["devices"][-1]["backend"], "ref")
        keys = ("platform name vendor driver version uuid type compute_units clock_mhz global_bytes"
                " max_alloc_bytes local_bytes max_work_group vector_width subgroup_size"
                " unified_memory fp16 refused chosen note").split()
        for device in found["devices"]:
            self.assertEqual(list(device), ["index", "backend", *keys])
        chosen = [d["index"] for d in found["devices"] if d["chosen"]]
        self.assertEqual(chosen, [found["chosen"]] if found["chosen"] is not None else [])
        out = self.run_program("devices")
        for device in found["devices"]:
            self.assertRegex(out, rf"(?m)^[* ] {device['index']}  {re.escape(device['name'])} ")

    def test_selector(self):
        found = json.loads(self.run_program("devices", "--json", env={"ONEPEACE_DEVICE": "ref"}))
        self.assertEqual(found["chosen"], len(found["devices"]) - 1)
        self.run_program("devices", "--device", "no-such-device", code=1)
        self.assertIn("no-such-device", self.err)


class Selftest(Case):
    def test_one_operation(self):
        args = ["selftest", "--device", DEVICE, "--quick", "--op", "l2norm"]
        if DEVICE == "ref":  # what others are compared with
            self.fails(1, "reference", *args)
            return
        out = self.run_program(*args)
        self.assertRegex(out, r"^passed +l2norm +\w+ +\d+ of +\d+ cases, worst error ")
        self.assertRegex(out, r"\n\d+ passed, 0 failed, \d+ declined \(seed 1\)\n$")
        self.assertIn("(seed 77)", self.run_program(*args, "--seed", "77"))

    def test_no_such_operation(self):
        self.run_program("selftest", "--device", DEVICE, "--op", "no_such_op", code=1)
        self.assertIn("reference" if DEVICE == "ref" else "no_such_op", self.err)


class Warm(Case):
    def test_fills_the_cache(self):
        args = ["warm", "--model", MODEL, "--device", DEVICE, "--branch"]
        self.assertEqual(self.run_program(*args, "text,image,audio"), "")
        self.assertRegex(self.err, r"(?m)^onepeace: kernels of .* are ready on .*, in \d+\.\d s$")
        if DEVICE == "ref":  # compiles nothing
            return
        self.run_program(*args, "image", "-v")
        compiled = re.findall(r"(\d+) compiled", self.err)
        self.assertTrue(compiled, self.err)
        # PoCL compiles through a cache of its own.
        if "Portable Computing Language" not in self.err:
            self.assertEqual(set(compiled), {"0"})

    def test_unknown_branch(self):
        self.fails(2, ["sound", "text,image,audio"], "warm", "--model", MODEL, "--branch", "sound")

    def test_no_model(self):
        self.fails(2, "--model", "warm", "--device", DEVICE)


def main():
    caches = tempfile.mkdtemp(prefix="onepeace-cli-cache-")
    os.environ["XDG_CACHE_HOME"] = caches
    try:
        result = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], exit=False, verbosity=1).result
    finally:
        shutil.rmtree(caches)
    failed = len(result.failures) + len(result.errors) + len(result.skipped)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 0 if result.testsRun > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
