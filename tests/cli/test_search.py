#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of index and search: test_search.py PROGRAM TEST_DATA

Small pictures and sounds are made here; all runs on `ref`.
"""
import html.parser
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

from chromium import Browser
from media import png, wav
from test_cli import BPE, MODEL, PICTURE, PROGRAM, SOUND, Case, main

SEED = int(os.environ.get("ONP_TEST_SEED", "1"))


class Search(Case):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("media/sub"))
        for i in range(4):
            self.write(f"media/p{i}.png", png(i))
        self.write("media/sub/s0.wav", wav(0))
        self.write("media/sub/S1.WAV", wav(1))

    def command(self, name, folders, model=MODEL):
        return [name, *folders, "--index", self.path("i.sqlite"), "--model", model, "--device", "ref"]

    def index(self, *folders, code=0, **more):
        self.run_program(*self.command("index", folders or ["media"]), code=code, **more)
        return self.counts()

    def search(self, *query, folders=("media",), code=0, model=MODEL):
        args = self.command("search", folders, model) + ["--tokenizer", BPE, "--json"]
        out = self.run_program(*args, *(query or ("--text", "cow")), code=code)
        return json.loads(out)

    def counts(self):
        """Embedded, known, damaged and dropped, as the last line about the index says."""
        line = [l for l in self.err.splitlines() if l.startswith("onepeace: index ")][-1]
        words = line.replace(",", "").split()
        return [int(words[words.index(w) - 1]) for w in ("embedded", "known", "damaged", "dropped")]

    def ask(self, sql, file="i.sqlite"):
        with sqlite3.connect(self.path(file)) as db:
            rows = db.execute(sql).fetchall()
        db.close()
        return rows

    def rows(self):
        return self.ask("SELECT f.path,f.kind,e.hash,e.row FROM files f JOIN embeddings e"
                        " ON e.hash=f.hash AND e.kind=f.kind ORDER BY f.path")

    def everything(self):
        """All that the index holds but times, which depend on when a run was."""
        return [self.ask(f"SELECT {columns} FROM {table} ORDER BY {columns}") for table, columns in (
            ("files", "path,kind,size,inode,hash"), ("embeddings", "hash,kind,space,row"),
            ("bad", "hash,kind,space,version,reason"), ("spaces", "id,model,dtype,dim"))]

    def count(self, table):
        return self.ask(f"SELECT count(*) FROM {table}")[0][0]

    def remove_index(self):
        for name in "i.sqlite", "i.sqlite-wal", "i.sqlite-shm":
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))

    def start(self, *folders, **more):
        return subprocess.Popen([PROGRAM, *self.command("index", folders or ["media"])],
                                cwd=self.dir, stderr=subprocess.DEVNULL, **more)


class Results(Search):
    def similarity(self, query, paths):
        """The numbers of `similarity` between the items of a query and files."""
        items = [x for p in paths for x in ("--image" if p.endswith("png") else "--audio", p)]
        out = self.run_program("similarity", "--model", MODEL, "--tokenizer", BPE, "--device", "ref",
                               "--json", *query, *items)
        return [row[len(query) // 2:] for row in json.loads(out)["matrix"][:len(query) // 2]]

    def test_equal_to_similarity(self):
        for query in (["--text", "cow"], ["--image", PICTURE], ["--audio", SOUND]):
            found = self.search(*query)["results"]
            self.assertEqual(len(found), 6)
            self.assertEqual([h["rank"] for h in found], [1, 2, 3, 4, 5, 6])
            scores = [h["score"] for h in found]
            self.assertEqual(scores, sorted(scores, reverse=True))
            want = self.similarity(query, [h["path"] for h in found])[0]
            for a, b in zip(scores, want, strict=True):
                self.assertAlmostEqual(a, b, delta=1e-6)
        self.assertEqual({h["path"] for h in found},
                         {f"media/p{i}.png" for i in range(4)} | {"media/sub/s0.wav",
                                                                  "media/sub/S1.WAV"})

    def test_combined(self):
        query = ["--text", "cow", "--image", PICTURE]
        found = self.search(*query)["results"]
        both = self.similarity(query, [h["path"] for h in found])
        between = self.similarity(["--text", "cow"], [PICTURE])[0][0]
        length = (2 + 2 * between) ** 0.5
        for hit, a, b in zip(found, *both, strict=True):
            self.assertAlmostEqual(hit["score"], (a + b) / length, delta=1e-6)

    def test_top(self):
        everything = self.search()["results"]
        for top in 1, 3, 5, 6, 7:
            self.assertEqual(self.search("--text", "cow", "--top", str(top))["results"],
                             everything[:top])

    def test_itself_is_nearest(self):
        found = self.search("--image", "media/p2.png")["results"][0]
        self.assertEqual(found["path"], "media/p2.png")
        self.assertAlmostEqual(found["score"], 1.0, delta=1e-6)

    def test_folders(self):
        os.mkdir(self.path("other"))
        self.write("other/x.png", png(50))
        os.symlink(self.path("other"), self.path("media/link"))
        self.write("media/.hidden.png", png(51))
        self.assertEqual(len(self.search(folders=("media", "media/sub", "media"))["results"]), 6)
        self.assertEqual([h["path"] for h in self.search(folders=("other/",))["results"]],
                         ["other/x.png"])
        self.assertEqual(len(self.search(folders=("media/sub", "other"))["results"]), 3)
        self.assertEqual(len(self.search(folders=(self.path("media"),))["results"]), 6)

    def test_table(self):
        self.write("media/\033[31m\n.png", png(9))
        out = self.run_program(*self.command("search", ["media"]), "--tokenizer", BPE, "--text", "cow")
        lines = out.splitlines()
        self.assertEqual(lines[0].split(), ["rank", "score", "kind", "path"])
        self.assertEqual(len(lines), 8)
        self.assertIn("media/?[31m?.png", out)

    def test_page(self):
        name = "media/<img src=x onerror=a>&\".png"
        self.write(name, png(60))
        self.search("--text", "<b>", "--image", PICTURE, "--html", "out.html")
        with open(self.path("out.html"), encoding="utf-8") as file:
            text = file.read()
        seen, sources = [], []

        class Parser(html.parser.HTMLParser):
            def handle_starttag(self, tag, attrs):
                seen.append(tag)
                sources.extend(v for k, v in attrs if k in ("src", "href"))

        Parser().feed(text)
        self.assertEqual((seen.count("img"), seen.count("audio"), seen.count("script")), (6, 2, 0))
        self.assertTrue(all(s.startswith(("data:image/png;base64,", "data:audio/wav;base64,"))
                            for s in sources), sources)
        self.assertNotIn("<b>", text)
        self.assertNotIn("<img src=x", text)
        self.no_output("media", "i.sqlite", "out.html")

    def test_page_in_chromium(self):
        os.mkdir(self.path("media/a folder with a long name that takes more than one line of a phone"))
        self.write("media/a folder with a long name that takes more than one line of a phone/"
                   + 30 * "unbroken" + ".png", png(61))
        with open(os.path.join(os.fsencode(self.path("media")), b"\xff\n.png"), "wb") as file:
            file.write(png(62))
        self.search("--text", 40 * "cow " + 80 * "w", "--audio", SOUND, "--html", "out.html")
        self.search("--text", "cow", "--top", "1", "--html", "one.html")
        browser = Browser()
        self.addCleanup(browser.close)
        for page, width, scheme in (("out", 390, "light"), ("out", 1440, "dark"), ("one", 390, "dark")):
            browser.open(self.path(page + ".html"), width=width, scheme=scheme)
            self.assertEqual((browser.problems, browser.outside()), ([], []))
            self.assertEqual(browser.run("document.documentElement.scrollWidth"), width)
            self.assertEqual(browser.run("[...document.images].filter(i => !i.naturalWidth).length"), 0)
        browser.open(self.path("out.html"))
        self.assertEqual(browser.run("document.images.length"), 6)
        self.assertIn("nearest of 6 pictures and 2 sounds", browser.run("document.body.innerText"))
        self.assertEqual(browser.run("[...document.querySelectorAll('audio')].map(a => a.ariaLabel)"
                                     ".filter(Boolean).length"), 3)
        playable = ("new Promise(done => { const a = document.querySelector('ol audio'); a.onerror = () =>"
                    " done('error'); a.oncanplay = () => done('plays'); a.load(); a.play(); })")
        self.assertEqual(browser.run(playable), "plays")

    def test_page_is_refused_early(self):
        self.fails(1, "no/such", *self.command("search", ["media"]), "--tokenizer", BPE, "--text", "a",
                   "--html", "no/such/out.html")
        self.no_output("media")


class Changes(Search):
    def test_second_run(self):
        self.assertEqual(self.index(), [6, 0, 0, 0])
        rows = self.rows()
        self.assertEqual(self.index(), [0, 6, 0, 0])
        self.search()
        self.assertEqual(self.counts(), [0, 6, 0, 0])
        self.assertEqual(self.rows(), rows)

    def test_changed_vanished_renamed(self):
        self.index()
        before = {row[0]: row[3] for row in self.rows()}
        self.write("media/p0.png", png(100))
        os.remove(self.path("media/p1.png"))
        os.rename(self.path("media/p2.png"), self.path("media/renamed.png"))
        shutil.copy(self.path("media/p3.png"), self.path("media/copy.png"))
        os.utime(self.path("media/p3.png"), (1, 1))
        self.assertEqual(self.index(), [1, 5, 0, 2])
        after = {os.path.basename(row[0]): row[3] for row in self.rows()}
        old = {os.path.basename(path): row for path, row in before.items()}
        self.assertEqual(sorted(after), sorted([b"p0.png", b"p3.png", b"copy.png", b"renamed.png",
                                                b"s0.wav", b"S1.WAV"]))
        self.assertNotEqual(after[b"p0.png"], old[b"p0.png"])
        self.assertEqual(after[b"renamed.png"], old[b"p2.png"])
        self.assertEqual(after[b"copy.png"], old[b"p3.png"])
        self.assertEqual(self.count("embeddings"), 5, "what no file refers to is pruned")

    def test_same_size_and_time(self):
        """Changed within the clock's grain: the size and the time are those of before."""
        path = self.write("media/p0.png", b"x" * 1000 + png(200))
        self.write("media/p0.png", png(201))
        at = os.stat(path)
        self.index()
        with open(path, "r+b") as file:
            file.write(png(202)[:at.st_size].ljust(at.st_size, b"\0"))
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
        self.assertEqual(self.index()[0], 1)

    def test_damaged(self):
        bad = self.write("media/bad.png", png(7)[:200])
        self.write("media/text.wav", "no sound")
        self.assertEqual(self.index(), [6, 0, 2, 0])
        self.assertIn("bad.png", self.err)
        self.assertIn("text.wav", self.err)
        self.assertEqual(self.index(), [0, 6, 2, 0])
        self.assertNotIn("bad.png", self.err)
        self.write("media/bad.png", png(8))
        self.assertEqual(self.index(), [1, 6, 1, 0])
        self.assertTrue(os.path.exists(bad))

    def test_names(self):
        names = [b"line\nfeed.png", b"\xff\xfe.png", "\u00fc \u4e2d.png".encode(), b"-o.png", b" .png"]
        for i, name in enumerate(names):
            with open(os.path.join(os.fsencode(self.path("media")), name), "wb") as file:
                file.write(png(20 + i))
        found = self.search("--text", "cow", "--top", "99")["results"]
        shown = {h.get("path_hex", h["path"].encode().hex()) for h in found}
        self.assertLessEqual({(b"media/" + name).hex() for name in names}, shown)
        self.assertEqual(len(found), 11)
        self.search()
        self.assertEqual(self.counts(), [0, 11, 0, 0])

    def test_other_model_and_dtype(self):
        self.index()
        self.run_program("convert", MODEL, "other.safetensors", "--dtype", "bf16")
        self.search(model="other.safetensors")
        self.assertEqual(self.counts(), [6, 0, 0, 0])
        self.search("--text", "cow", "--dtype", "f16")
        self.assertEqual(self.counts(), [6, 0, 0, 0])
        self.assertEqual(self.index(), [0, 6, 0, 0])
        self.assertEqual(self.count("embeddings"), 18)

    def test_model_without_a_branch(self):
        self.run_program("convert", MODEL, "o.safetensors", "--branch", "text,image", "--tokenizer", BPE)
        found = self.search(model="o.safetensors")["results"]
        self.assertEqual([h["kind"] for h in found], ["image"] * 4)
        self.assertIn("2 files left out", self.err)

    def kill(self, after):
        """Starts an index from nothing and kills it after a while: whether it was still running."""
        self.remove_index()
        with self.start() as running:
            time.sleep(after)
            running.send_signal(signal.SIGKILL)
        return running.returncode == -signal.SIGKILL

    def test_killed(self):
        """Killed at ten moments spread over the run, then run again: the index of one run."""
        for i in range(70):
            self.write(f"media/more{i:03}.wav", wav(1000 + i))
        self.write("media/bad.png", b"no picture")
        begin = time.monotonic()
        self.assertEqual(self.index(), [76, 0, 1, 0])
        took = time.monotonic() - begin
        want = self.everything()
        moments = random.Random(SEED)
        parts = []
        for i in range(10):
            after = took * (i + moments.random()) / 10
            while not self.kill(after):  # this run was faster than the first
                after /= 2
            counts = self.index()
            self.assertEqual(self.everything(), want, f"killed after {after:.3f} s, seed {SEED}")
            self.assertEqual(counts[0] + counts[1], 76)
            parts.append(counts[1])
        self.assertTrue(any(0 < part < 76 for part in parts), f"never amid the work: {parts}")

    def test_killed_again_and_again(self):
        """Each run goes on where the one before was killed."""
        for i in range(70):
            self.write(f"media/more{i:03}.wav", wav(1000 + i))
        begin = time.monotonic()
        self.index()
        took = time.monotonic() - begin
        want = self.everything()
        self.remove_index()
        moments = random.Random(SEED)
        kept = []
        for _ in range(4):
            with self.start() as running:
                time.sleep(moments.uniform(0.2, 0.7) * took)
                running.send_signal(signal.SIGKILL)
            try:
                kept.append(self.count("embeddings"))
            except sqlite3.OperationalError:  # killed before the tables were made
                kept.append(0)
        self.assertEqual(kept, sorted(kept), f"a run lost what was done (seed {SEED})")
        self.assertEqual(self.index()[0], 76 - kept[-1])
        self.assertEqual(self.everything(), want, f"seed {SEED}")

    def test_two_at_once(self):
        for i in range(40):
            self.write(f"media/more{i:03}.wav", wav(1000 + i))
        self.index()
        want = self.everything()
        self.remove_index()
        with self.start() as first, self.start() as second:
            pass
        self.assertEqual((first.returncode, second.returncode), (0, 0))
        self.assertEqual(self.everything(), want)
        self.assertEqual(self.index(), [0, 46, 0, 0])

    def test_started_together(self):
        """Whoever comes first makes the index; the others wait and do not take it for another's."""
        for _ in range(8):
            self.remove_index()
            with self.start() as first, self.start() as second, self.start() as third:
                pass
            self.assertEqual([p.returncode for p in (first, second, third)], [0, 0, 0])


class Failures(Search):
    def test_empty_folder(self):
        os.mkdir(self.path("empty"))
        self.fails(1, ["no pictures", "empty"], *self.command("index", ["empty"]))
        self.index()
        shutil.move(self.path("media"), self.path("away"))
        os.mkdir(self.path("media"))
        self.fails(1, "no pictures", *self.command("index", ["media"]))
        self.assertEqual(self.count("embeddings"), 6, "a missing disk must not empty the index")

    def test_folders(self):
        self.fails(1, ["none", "No such file"], *self.command("index", ["none"]))
        self.fails(1, "not a folder", *self.command("index", ["media/p0.png"]))
        self.fails(2, "missing argument: FOLDER", "index", "--model", MODEL)
        self.fails(2, "nothing to embed", *self.command("search", ["media"]))
        self.fails(1, "no such file", *self.command("search", ["media"]), "--image", "none.png")
        self.fails(2, "no model", "index", "media")

    def test_unreadable(self):
        self.index()
        os.chmod(self.path("media/sub"), 0)
        os.chmod(self.path("media/p0.png"), 0)
        os.utime(self.path("media/p0.png"), (1, 1))
        self.addCleanup(os.chmod, self.path("media/sub"), 0o700)
        # Root reads everything unless it gives up the right to.
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        program = drop * (os.geteuid() == 0) + [PROGRAM]
        done = subprocess.run(program + self.command("index", ["media"]), cwd=self.dir, check=False,
                              stderr=subprocess.PIPE, timeout=600)
        self.err = done.stderr.decode()
        self.assertEqual(done.returncode, 1, self.err)
        self.assertIn("media/sub: Permission denied", self.err)
        self.assertIn("media/p0.png: Permission denied", self.err)
        self.assertEqual(self.counts()[:3], [0, 3, 0])
        self.assertEqual(self.count("embeddings"), 5, "what is in a hidden folder is kept")

    def test_damaged_index(self):
        self.index()
        with open(self.path("i.sqlite"), "rb") as file:
            good = file.read()
        noise = random.Random(SEED).randbytes(50000)
        for bad in (b"not a database" * 100, good[:100] + b"\x5a" * 5000 + good[5100:], noise,
                    good[:20] + noise, b"text\n", good[:1], good[:99], good[:1000], good[:32768],
                    good[:40000]):
            self.write("i.sqlite", bad)
            for name in "i.sqlite-wal", "i.sqlite-shm":
                if os.path.exists(self.path(name)):
                    os.remove(self.path(name))
            self.fails(1, ["i.sqlite", "delete it"], *self.command("index", ["media"]))
            self.fails(1, ["i.sqlite", "delete it"], *self.command("search", ["media"]),
                       "--tokenizer", BPE, "--text", "cow")
            self.remove_index()
            self.assertEqual(self.index()[0], 6)

    def test_foreign_databases(self):
        self.index()
        with sqlite3.connect(self.path("i.sqlite")) as db:
            db.execute("PRAGMA user_version=99")
        db.close()
        self.fails(1, ["i.sqlite", "another version", "delete it"], *self.command("index", ["media"]))
        os.remove(self.path("i.sqlite"))
        with sqlite3.connect(self.path("i.sqlite")) as db:
            db.execute("CREATE TABLE theirs(a)")
        db.close()
        with open(self.path("i.sqlite"), "rb") as file:
            before = file.read()
        self.fails(1, "another program", *self.command("index", ["media"]))
        with open(self.path("i.sqlite"), "rb") as file:
            self.assertEqual(file.read(), before)

    def test_links(self):
        os.symlink("../media", self.path("media/self"))
        os.symlink("loop", self.path("media/loop"))
        os.symlink("loop.png", self.path("media/loop.png"))
        os.symlink("nothing", self.path("media/nothing.png"))
        os.symlink("/dev/zero", self.path("media/zero.png"))
        os.mkfifo(self.path("media/fifo.png"))
        os.mkdir(self.path("media/folder.png"))
        os.symlink("p0.png", self.path("media/link.png"))
        self.assertEqual(self.index(), [6, 1, 0, 0])
        self.fails(1, ["media/loop", "symbolic links"], *self.command("index", ["media/loop"]))
        self.fails(1, ["p0.png/x", "Not a directory"], *self.command("index", ["media/p0.png/x"]))
        os.symlink("media", self.path("other"))
        self.assertEqual(self.search(folders=("other",))["results"][0]["path"][:6], "other/")

    def test_vanished_folder(self):
        """The current folder is deleted: only names that need none work."""
        gone = self.path("gone")
        os.mkdir(gone)
        inside = ["sh", "-c", 'cd gone && rmdir ../gone && exec "$@"', "sh", PROGRAM]
        for folder, code, words in (".", 1, "No such file"), (self.path("media"), 0, "6 embedded"):
            os.makedirs(gone, exist_ok=True)
            done = subprocess.run(inside + self.command("index", [folder]), cwd=self.dir,
                                  stderr=subprocess.PIPE, timeout=600, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(words, done.stderr.decode())

    def test_messages_are_lines(self):
        self.write("media/line\nfeed.png", png(7)[:200])
        os.mkdir(self.path("emp\nty"))
        self.index()
        self.assertIn("line?feed.png", self.err)
        self.fails(1, "emp?ty", *self.command("index", ["emp\nty"]))

    def test_no_room(self):
        """A limit of the file's size stands for a full disk."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))

        for i in range(60):
            self.write(f"media/more{i:03}.wav", wav(1000 + i))
        done = subprocess.run([PROGRAM, *self.command("index", ["media"])], cwd=self.dir,
                              stderr=subprocess.PIPE, timeout=600, check=False,
                              restore_signals=False, preexec_fn=limit)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), "(cannot read or write|no room for) the index .*i.sqlite")
        counts = self.index()
        self.assertEqual(counts[0] + counts[1], 66)

    def test_read_only(self):
        self.index()
        os.mkdir(self.path("fixed"))
        shutil.copy(self.path("i.sqlite"), self.path("fixed/i.sqlite"))
        os.chmod(self.path("fixed"), 0o555)
        self.addCleanup(os.chmod, self.path("fixed"), 0o700)
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        program = drop * (os.geteuid() == 0) + [PROGRAM]
        for name in "i.sqlite", "new.sqlite":
            args = ["index", "media", "--model", MODEL, "--index", f"fixed/{name}", "--device", "ref"]
            done = subprocess.run(program + args, cwd=self.dir, stderr=subprocess.PIPE, timeout=600,
                                  check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.decode(), f"cannot write.*fixed/{name}: Permission denied.*--index")

    def test_locked(self):
        self.index()
        db = sqlite3.connect(self.path("i.sqlite"), isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        self.write("media/new.png", png(70))
        self.fails(1, ["i.sqlite", "locked"], *self.command("index", ["media"]))
        db.execute("ROLLBACK")
        db.close()
        self.assertEqual(self.index(), [1, 6, 0, 0])

    def test_place(self):
        self.fails(1, ["no/i.sqlite", "--index"], "index", "media", "--model", MODEL, "--device", "ref",
                   "--index", "no/i.sqlite")
        self.write("file", "")
        os.symlink("no/i.sqlite", self.path("dangling"))
        os.mkfifo(self.path("fifo"))
        for place, words in (("media", "is a folder"), ("/dev/null", "is not a file"),
                             ("fifo", "is not a file"), ("file/i.sqlite", "Not a directory"),
                             ("dangling", "No such file"), ("", "not a file name")):
            self.fails(1, [place, words, "--index"], "index", "media", "--model", MODEL, "--device",
                       "ref", "--index", place)
        self.fails(1, "file/onepeace", "index", "media", "--model", MODEL, "--device", "ref",
                   env={"XDG_CACHE_HOME": self.path("file")})
        self.run_program("index", "media", "--model", MODEL, "--device", "ref",
                         env={"XDG_CACHE_HOME": self.path("new/cache")})
        self.assertTrue(os.path.exists(self.path("new/cache/onepeace/index.sqlite")))


if __name__ == "__main__":
    sys.exit(main())
