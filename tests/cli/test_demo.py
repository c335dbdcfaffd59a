#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of demo: test_demo.py PROGRAM TEST_DATA

A small checkpoint under another name and a folder of generated pictures and sounds: nothing in the
demo knows the default model or its files. Pages are opened in Chromium.
"""
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys

from chromium import Browser
from test_cli import BPE, MODEL, PROGRAM, Case, main, rows_of
from test_search import png, wav

PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../host/cli/pages")
HEADER = "concept\tpicture\tsound\tpicture_credit\tsound_credit\n"
HOSTILE = "</script><script>alert(1)</script><!--"
NAMES = ["cow", "dog", "elephant", "Éléphant à vapeur", "<img src=x onerror=alert(1)>", HOSTILE,
         "a \"quoted\" & 'named' {{json}} thing", "x" * 80]
DIRECTIONS = [("image", "text"), ("text", "image"), ("audio", "text"), ("text", "audio"),
              ("audio", "image"), ("image", "audio")]


class Demo(Case):
    def setUp(self):
        super().setUp()
        shutil.copytree(SHARED.data, self.path("data"))
        self.table = self.path("data/demo.tsv")

    def demo(self, *args, code=0, model=None, data="data"):
        return self.run_program("demo", "--data", data, "--model", model or SHARED.model, "--device",
                                "ref", *args, code=code)

    def refused(self, words, table=None, files=("data",)):
        """The demo fails, says why, and leaves nothing behind."""
        if table is not None:
            self.write("data/demo.tsv", table)
        self.demo("--html", "out.html", code=1)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, self.err)
        self.assertEqual(self.out, "")
        self.no_output(*files)


class Shared:
    """What every test starts from, made once: a data folder, a model, a page of both."""

    def __init__(self, folder):
        self.data, self.model = folder + "/data", folder + "/any name.safetensors"
        self.page = folder + "/page.html"
        os.mkdir(self.data)
        os.mkdir(self.data + "/sounds")
        with open(self.data + "/demo.tsv", "w", encoding="utf-8") as table:
            table.write(HEADER)
            for i, name in enumerate(NAMES):
                table.write(f"{name}\tp{i}.png\tsounds/s{i}.wav\tPainter {i}; CC-BY-4.0 <b>\t"
                            f"Player {i}; CC0-1.0\n")
                with open(f"{self.data}/p{i}.png", "wb") as file:
                    file.write(png(i))
                with open(f"{self.data}/sounds/s{i}.wav", "wb") as file:
                    file.write(wav(i))
        subprocess.run([PROGRAM, "convert", MODEL, self.model, "--tokenizer", BPE, "--quiet"],
                       check=True)
        done = subprocess.run([PROGRAM, "demo", "--data", self.data, "--model", self.model, "--device",
                               "ref", "--html", self.page], check=True, capture_output=True)
        self.out, self.err = done.stdout.decode(), done.stderr.decode()


def table_of(out):
    """Ranks by name from the whole table on standard output, in its order."""
    lines = out[out.index("The whole table:"):].splitlines()[3:]
    ranks = {}
    for line in lines:
        if not line.strip():
            break
        ranks[line[2:26].strip()] = (line[0] == "*", [int(x) for x in line[26:].split()])
    return ranks


class Numbers(Demo):
    def rows(self):
        items = "".join(f"image\tdata/p{i}.png\naudio\tdata/sounds/s{i}.wav\ntext\t{name}\n"
                        for i, name in enumerate(NAMES))
        self.write("list", items)
        self.run_program("embed", "--model", SHARED.model, "--device", "ref", "--input", "list", "-o",
                         "rows.npy")
        rows = rows_of(self.path("rows.npy"))
        return {kind: rows[k::3] for k, kind in enumerate(("image", "audio", "text"))}

    @staticmethod
    def dot(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    def test_ranks(self):
        """The ranks printed are those of `embed`'s rows; nearly equal scores may go either way."""
        rows, printed = self.rows(), list(table_of(SHARED.out).values())
        self.assertEqual(len(printed), len(NAMES))
        certain = 0
        hits = [0] * 6
        for i, (right, ranks) in enumerate(printed):
            self.assertEqual(right, ranks == [1] * 6)
            for d, (start, end) in enumerate(DIRECTIONS):
                scores = [self.dot(rows[start][i], row) for row in rows[end]]
                others = scores[:i] + scores[i + 1:]
                best = 1 + sum(s > scores[i] + 1e-6 for s in others)
                worst = 1 + sum(s > scores[i] - 1e-6 for s in others)
                self.assertTrue(best <= ranks[d] <= worst, (i, start, end, ranks[d], best, worst))
                certain += best == worst
                hits[d] += ranks[d] == 1
        self.assertGreater(certain, 34, "of 48: the others are too near to tell")
        counts = re.findall(r"^  (\w+) +-> (\w+) +(\d+) +([\d.]+) %$", SHARED.out, re.M)
        self.assertEqual([int(c[2]) for c in counts], hits)
        for count in counts:
            self.assertAlmostEqual(float(count[3]), 100 * int(count[2]) / len(NAMES), delta=0.051)

    def test_page_has_the_same(self):
        rows, data = self.rows(), json.loads(script_of(SHARED.page))
        self.assertEqual([c["name"] for c in data["concepts"]], NAMES)
        self.assertEqual([c["ranks"] for c in data["concepts"]],
                         [ranks for _, ranks in table_of(SHARED.out).values()])
        for scores, (a, b) in zip(data["scores"], DIRECTIONS[::2], strict=True):
            want = [self.dot(x, y) for x in rows[a] for y in rows[b]]
            self.assertLess(max(abs(s - w) for s, w in zip(scores, want, strict=True)), 1e-6)

    def test_mixed(self):
        rows = self.rows()
        lines = re.findall(r"^  (.{11}) \+ (.{11}) :(.*)$", SHARED.out, re.M)
        self.assertEqual(len(lines), 6)
        names = [label(n, 11) for n in NAMES]
        for sound, word, found in lines:
            a, b = rows["audio"][names.index(sound.strip())], rows["text"][names.index(word.strip())]
            self.assertNotEqual(sound, word)
            total = [x + y for x, y in zip(a, b)]
            length = self.dot(total, total) ** 0.5
            want = sorted((self.dot(total, p) / length for p in rows["image"]), reverse=True)[:3]
            got = [float(x) for x in re.findall(r"[ *](-?\d\.\d\d) ", found)]
            self.assertEqual(len(got), 3)
            for x, y in zip(got, want):
                self.assertAlmostEqual(x, y, delta=0.0051)

    def test_says_what_it_shows(self):
        self.assertIn("Too few concepts are told apart", SHARED.out)
        self.assertIn("any name.safetensors", SHARED.out)
        self.assertTrue(all(len(line) <= 100 for line in SHARED.out.splitlines()), SHARED.out)

    def test_f16(self):
        self.demo("--dtype", "f16")
        self.assertIn("weights kept as f16", self.out)

    def test_one_concept(self):
        with open(self.table, encoding="utf-8") as file:
            lines = file.readlines()
        self.write("data/demo.tsv", "".join(lines[:2]))
        self.demo("--html", "out.html")
        self.assertEqual(table_of(self.out), {"cow": (True, [1] * 6)})
        self.assertIn("In all six directions: 1 of 1", self.out)
        self.assertIn("because the model gets them right", self.out)
        self.assertIn("a mixed query takes two concepts", self.out)
        self.no_output("data", "out.html")

    def test_note(self):
        """about.txt is shown, whatever stands in it."""
        self.write("data/about.txt", "Drawn by hand,\nrecorded <at home>.\n" + "word " * 60)
        self.demo("--html", "out.html")
        self.assertIn("\nDrawn by hand, recorded <at home>. word", self.out)
        self.assertTrue(all(len(line) <= 100 for line in self.out.splitlines()))
        with open(self.path("out.html"), encoding="utf-8") as file:
            self.assertIn("Drawn by hand, recorded &#60;at home&#62;. word", file.read())
        self.write("data/about.txt", "x" * 5000)
        os.remove(self.path("out.html"))
        self.refused("larger than 4 KiB")
        self.write("data/about.txt", b"\xff")
        self.refused("not UTF-8")

    def test_forms_of_the_table(self):
        """A byte order mark, CR LF, empty lines, columns in another order and ones not known."""
        self.write("data/demo.tsv", "\ufeffsound\tconcept\textra\tsound_credit\tpicture\tpicture_credit"
                   "\r\n\r\nsounds/s0.wav\tcow\tx\tB\tp0.png\tA\r\nsounds/s1.wav\tdog\t\t\tp1.png\t\r\n")
        self.demo("--html", "out.html")
        self.assertEqual(list(table_of(self.out)), ["cow", "dog"])


def label(name, columns):
    return name if len(name) <= columns else name[:columns - 3] + "..."


def script_of(path):
    """The JSON of a page, found as a browser does: up to the first end of the script."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text.split('<script type="application/json" id="data">')[1].split("</script")[0]


class BadInput(Demo):
    def row(self, picture="p0.png", sound="sounds/s0.wav", name="cow"):
        return HEADER + f"{name}\t{picture}\t{sound}\ta\tb\n"

    def test_table(self):
        self.refused(["demo.tsv", "holds no concepts"], "")
        self.refused(["demo.tsv", "holds no concepts"], HEADER)
        self.refused(["demo.tsv:1", "no such column", "sound_credit"],
                     "concept\tpicture\tsound\tpicture_credit\ncow\tp0.png\tsounds/s0.wav\ta\n")
        self.refused(["demo.tsv:2", "3 fields", "header 5"], HEADER + "cow\tp0.png\tsounds/s0.wav\n")
        self.refused(["demo.tsv:2", "6 fields"], HEADER + "cow\tp0.png\tsounds/s0.wav\ta\tb\tc\n")
        self.refused(["demo.tsv:1", "too many columns"], "a\t" * 50 + "\n")
        self.refused(["demo.tsv:3", "already", "cow"],
                     self.row() + "cow\tp1.png\tsounds/s1.wav\ta\tb\n")
        self.refused(["demo.tsv", "zero byte"], HEADER + "co\0w\tp0.png\tsounds/s0.wav\ta\tb\n")
        self.refused(["demo.tsv", "larger than 1024 KiB"], HEADER + "x" * (1 << 20))
        many = "".join(f"c{i}\tp0.png\tsounds/s0.wav\ta\tb\n" for i in range(501))
        self.refused(["demo.tsv:502", "more than 500"], HEADER + many)

    def test_names(self):
        self.refused(["demo.tsv:2", "not UTF-8"], self.row().encode().replace(b"cow", b"c\xffw"))
        self.refused(["demo.tsv:2", "control character"], self.row(name="c\x1bw"))
        self.refused(["demo.tsv:2", "no name"], self.row(name=""))
        self.refused(["demo.tsv:2", "too long"], self.row(name="x" * 81))

    def test_paths(self):
        self.write("secret.png", png(1))
        for name in ("../secret.png", "/etc/passwd", self.path("secret.png"), "sounds/../p0.png", "..",
                     "sounds/..", "", "sounds//s0.wav", "sounds/"):
            self.refused(["demo.tsv:2", "relative to the table"], self.row(picture=name),
                         files=("data", "secret.png"))
            self.refused(["demo.tsv:2", "relative to the table"], self.row(sound=name),
                         files=("data", "secret.png"))

    def test_files(self):
        self.refused(["demo.tsv:2", "missing.png", "No such file"], self.row(picture="missing.png"))
        self.refused(["demo.tsv:2", "sounds", "not a regular file"], self.row(picture="sounds"))
        os.mkfifo(self.path("data/pipe"))
        self.refused(["demo.tsv:2", "pipe", "not a regular file"], self.row(sound="pipe"))
        self.write("data/bad.png", png(1)[:120])
        self.refused(["demo.tsv:2", "bad.png"], self.row(picture="bad.png"))
        self.write("data/bad.wav", b"RIFF" + bytes(60))
        self.refused(["demo.tsv:2", "bad.wav"], self.row(sound="bad.wav"))

    def test_folder(self):
        self.demo(code=1, data="nowhere")
        self.assertIn("nowhere/demo.tsv: No such file", self.err)
        os.remove(self.table)
        os.mkfifo(self.table)
        self.refused("not a regular file")

    def test_place_of_the_page(self):
        os.mkdir(self.path("folder"))
        for place, words in (("no/such/out.html", "no/such"), ("folder", "is a folder")):
            self.demo("--html", place, code=1)
            self.assertIn(words, self.err)
            self.assertEqual(self.out, "", "it is found out before anything is embedded")
        old = self.write("old.html", "old")
        self.write("data/bad.png", png(1)[:120])
        self.write("data/demo.tsv", self.row(picture="bad.png"))
        self.demo("--html", "old.html", code=1)
        with open(old, encoding="utf-8") as file:
            self.assertEqual(file.read(), "old", "a run that fails leaves the old page")
        self.no_output("data", "folder", "old.html")

    def test_wrong_use(self):
        self.fails(2, "--batch", "demo", "--batch", "0")
        self.fails(2, "unknown option --datas", "demo", "--datas", "x")
        self.fails(1, "missing.pt", "demo", "--data", "data", "--model", "missing.pt")


class Markup(Demo):
    def test_escaped(self):
        seen, sources = [], []

        class Parser(html.parser.HTMLParser):
            def handle_starttag(self, tag, attrs):
                seen.append(tag)
                names = dict(attrs)
                sources.extend(v for k, v in attrs if k in ("src", "href"))
                assert not any(k.startswith("on") or k == "style" for k in names), attrs
                assert tag != "img" or "alt" in names, attrs

        with open(SHARED.page, encoding="utf-8") as file:
            text = file.read()
        Parser().feed(text)
        self.assertEqual((seen.count("script"), seen.count("b")), (2, 0))
        self.assertTrue(all(s.startswith(("data:image/png;base64,", "data:audio/wav;base64,", "#"))
                            for s in sources), [s[:80] for s in sources])
        for i in range(len(NAMES)):
            self.assertIn(f"Painter {i}; CC-BY-4.0 &#60;b&#62;", text)
            self.assertIn(f"Player {i}; CC0-1.0", text)
        self.assertEqual(text.count("{{"), text.count("{{json}} thing"), "a slot is left or a name filled")

    def test_headings_in_order(self):
        with open(SHARED.page, encoding="utf-8") as file:
            levels = [int(x) for x in re.findall(r"<h([1-6])", file.read())]
        self.assertEqual((levels[0], levels.count(1)), (1, 1))
        self.assertTrue(all(b <= a + 1 for a, b in zip(levels, levels[1:])), levels)

    def test_nothing_private(self):
        with open(SHARED.page, encoding="utf-8") as file:
            text = file.read()
        self.assertNotIn(os.path.dirname(SHARED.page), text, "the page names a folder of this machine")


def luminance(colour):
    channels = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


class Colours(Demo):
    def test_contrast(self):
        """Every text of the shared style on every ground it stands on, light and dark."""
        with open(PAGES + "/family.css", encoding="utf-8") as file:
            tokens = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", file.read())
        with open(PAGES + "/demo.css", encoding="utf-8") as file:
            squares = re.findall(r"\.h(\d+) \{ background: var\(--heat-\1\); "
                                 r"color: light-dark\((#\w{6}), (#\w{6})\); \}", file.read())
        self.assertEqual(len(squares), 11)
        for theme in 0, 1:
            colour = {name: pair[theme] for name, *pair in tokens}
            pairs = [(text, ground) for text in ("ink", "soft") for ground in ("ground", "card", "sunk")]
            pairs += [(kind, ground) for kind in ("image", "audio", "text")
                      for ground in (kind + "-tint", "card", "ground")]
            pairs += [("card", kind) for kind in ("image", "audio", "text")]
            pairs += [("ink", "text-tint")]
            for text, ground in pairs:
                self.assertGreaterEqual(contrast(colour[text], colour[ground]), 4.5,
                                        (text, ground, theme))
            for heat, *inks in squares:
                self.assertGreaterEqual(contrast(inks[theme], colour["heat-" + heat]), 4.5,
                                        (heat, theme))
            for mark in "focus", "edge", "bar":  # what is not text
                self.assertGreaterEqual(contrast(colour[mark], colour["card"]), 3, (mark, theme))


WAIT_FOR_SOUNDS = """Promise.all([...document.querySelectorAll("audio")].map((a) =>
    new Promise((done) => {
        a.addEventListener("loadeddata", () => done(a.duration));
        a.addEventListener("error", () => done("error " + a.id));
        a.preload = "auto";
        a.load();
    })))"""
PICTURES = """[...document.images].map((i) => (i.loading = "eager",
    i.decode().then(() => i.naturalWidth, () => "error " + i.alt)))"""
OVERFLOW = """[document.documentElement.scrollWidth, innerWidth, [...document.querySelectorAll("main *")]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, .vh, .top nav"))
    .map((e) => e.outerHTML.slice(0, 80))]"""
ROLES = {"button", "link", "checkbox", "radio", "combobox", "listbox", "textbox", "slider", "image",
         "grid", "table", "region", "row header", "columnheader", "rowheader", "audio", "Audio"}


class Page(Demo):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def open(self, path=None, **more):
        self.browser.open(path or SHARED.page, **more)
        return self.browser

    def assert_quiet(self):
        self.assertEqual((self.browser.problems, self.browser.outside()), ([], []))

    def test_everything_loads(self):
        for scheme, width in (("light", 1440), ("dark", 390)):
            page = self.open(scheme=scheme, width=width)
            sizes = page.run(f"Promise.all({PICTURES})")
            self.assertGreaterEqual(len(sizes), 3 * len(NAMES))
            self.assertEqual(set(sizes), {20})
            lengths = page.run(WAIT_FOR_SOUNDS)
            self.assertEqual(len(lengths), len(NAMES))
            for seconds in lengths:
                self.assertAlmostEqual(seconds, 0.25, delta=0.01)
            self.assert_quiet()

    def test_a_request_would_be_seen(self):
        """The check above fails for a page that asks for something, with its policy and without."""
        with open(SHARED.page, encoding="utf-8") as file:
            text = file.read()
        picture = '<img src="http://127.0.0.1:9/x.png" alt="">'
        asking = text.replace('<main id="main"', picture + '<main id="main"', 1)
        self.assertNotEqual(asking, text)
        self.open(self.write("asking.html", asking)).run("0")
        self.assertTrue(any("Content Security Policy" in p for p in self.browser.problems),
                        self.browser.problems)
        free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", asking)
        self.assertNotEqual(free, asking)
        self.open(self.write("free.html", free)).run("0")
        self.assertEqual(self.browser.outside(), ["http://127.0.0.1:9/x.png"])
        self.assertNotEqual(self.browser.problems, [])

    def test_other_scripts_do_not_run(self):
        with open(SHARED.page, encoding="utf-8") as file:
            text = file.read()
        self.open(self.write("more.html", text.replace(
            "</main>", "<script>document.title='taken'</script></main>", 1)))
        self.assertNotEqual(self.browser.run("document.title"), "taken")
        self.assertTrue(self.browser.problems)

    def test_no_overflow(self):
        for width in (360, 390, 768, 1024, 1440):
            for script in (True, False):
                self.open(width=width, script=script)
                total, inner, beyond = self.browser.run(OVERFLOW)
                self.assertLessEqual(total, inner, (width, script, beyond))
                self.assertEqual(inner, width)
                self.assertEqual(beyond, [], (width, script))

    def test_files_that_browsers_do_not_know(self):
        """Arrays are embedded as they are; the page says that they are not shown."""
        self.run_program("preprocess", "--model", SHARED.model, "--image", "data/p0.png", "-o",
                         "data/p0.npy")
        self.run_program("preprocess", "--model", SHARED.model, "--audio", "data/sounds/s0.wav", "-o",
                         "data/s0.npy")
        with open(self.table, encoding="utf-8") as file:
            text = file.read()
        self.write("data/demo.tsv", text.replace("p0.png", "p0.npy").replace("sounds/s0.wav", "s0.npy"))
        self.demo("--html", "out.html")
        self.assertEqual(table_of(self.out), table_of(SHARED.out))
        page = self.open(self.path("out.html"))
        self.assertEqual(set(page.run(f"Promise.all({PICTURES})")), {20})
        self.assertEqual(len(page.run(WAIT_FOR_SOUNDS)), len(NAMES) - 1)
        self.assertIn("not shown here", page.run("document.querySelector('#ranks').innerText"))
        self.assert_quiet()

    def test_names_of_controls(self):
        self.open()
        nodes = self.browser.call("Accessibility.getFullAXTree")["nodes"]
        seen = set()
        for node in nodes:
            role = node.get("role", {}).get("value")
            if node.get("ignored") or role not in ROLES:
                continue
            seen.add(role)
            self.assertTrue(node.get("name", {}).get("value", "").strip(), node)
        self.assertTrue({"button", "link", "radio", "checkbox", "combobox", "grid"} <= seen, seen)

    def test_asking(self):
        """What the lists show is in the order of the scores; the right answer is always there."""
        self.open()
        data = json.loads(script_of(SHARED.page))
        n = len(NAMES)
        for concept in (0, n - 1):
            for kind, pair, lists in (("image", 0, ["sounds", "words"]), ("text", 0, ["pictures", "sounds"]),
                                      ("audio", 1, ["pictures", "words"])):
                self.browser.run(f"document.querySelector('[name=kind][value={kind}]').click();"
                                 f"document.querySelector('[name=concept][value=\"{concept}\"]').click()")
                heads, names, right = self.browser.run(
                    "[[...document.querySelectorAll('#answers h3 .kind')].map(e => e.textContent),"
                    " [...document.querySelectorAll('#answers ol')].map(l => [...l.children].map(e => "
                    "  e.querySelector('.name').textContent)),"
                    " [...document.querySelectorAll('#answers .right .name')].map(e => e.textContent)]")
                self.assertEqual(heads, lists)
                self.assertEqual(right, [NAMES[concept]] * 2)
                if "words" in lists or kind == "text":
                    at = lists.index("words" if kind != "text" else "pictures")
                    row = [data["scores"][pair][concept * n + i if kind != "text" else i * n + concept]
                           for i in range(n)]
                    order = [NAMES[i] for i in sorted(range(n), key=lambda i: -row[i])]
                    self.assertEqual(names[at][:5], order[:5])
        self.assert_quiet()

    def test_keyboard(self):
        self.open()
        self.browser.run("document.querySelector('.heat td[tabindex=\"0\"]').focus()")
        self.browser.key("ArrowRight", 39)
        self.browser.key("ArrowDown", 40)
        self.browser.key("ArrowDown", 40)
        self.browser.key("ArrowUp", 38)
        row, column, readout = self.browser.run(
            "(() => { const c = document.activeElement; return [c.parentNode.rowIndex, c.cellIndex,"
            " c.closest('figure').querySelector('.hint').textContent]; })()")
        self.assertEqual((row, column), (2, 2))
        data = json.loads(script_of(SHARED.page))
        at = data["shown"][1]
        self.assertEqual(readout, f"picture of {NAMES[at]}, word {NAMES[at]}: "
                                  f"{data['scores'][0][at * len(NAMES) + at]:.4f}")
        self.browser.key("End", 35)
        self.assertEqual(self.browser.run("document.activeElement.cellIndex"), len(NAMES))
        self.assertEqual(self.browser.run("document.querySelectorAll('.heat td[tabindex=\"0\"]').length"), 3)

    def test_sorting(self):
        self.open()
        script = ("(() => {{ const h = document.querySelectorAll('#ranks thead th')[{0}];"
                  " h.querySelector('button').click(); return [h.getAttribute('aria-sort'),"
                  " [...document.querySelectorAll('#ranks tbody tr')].map(r => r.cells[{0}].textContent)]; }})()")
        state, ranks = self.browser.run(script.format(4))
        self.assertEqual((state, len(ranks)), ("ascending", len(NAMES)))
        self.assertEqual([int(r) for r in ranks], sorted(int(r) for r in ranks))
        state, again = self.browser.run(script.format(4))
        self.assertEqual(state, "descending")
        self.assertEqual([int(r) for r in again], sorted((int(r) for r in ranks), reverse=True))

    def test_sounds_play(self):
        self.open()
        name = self.browser.run("""new Promise((done) => {
            const button = document.querySelector("#ranks .play"), audio = document.getElementById("s0");
            audio.addEventListener("playing", () => done(button.getAttribute("aria-label")));
            setTimeout(() => done("nothing played"), 60000);
            button.click(); })""")
        self.assertEqual(name, "Stop the sound of cow")
        self.assert_quiet()

    def test_theme(self):
        self.open(scheme="light")
        ground = "getComputedStyle(document.body).backgroundColor"
        press = f"document.getElementById('theme').click(), {ground}"
        light = self.browser.run(ground)
        self.assertEqual(self.browser.run(press), light)
        dark = self.browser.run(press)
        self.assertNotEqual(dark, light)
        self.browser.run("localStorage.clear()")
        self.open(scheme="dark")
        self.assertEqual(self.browser.run(ground), dark)

    def test_without_script(self):
        self.open(script=False, width=390)
        tables, pictures, sounds, hidden, squares = self.browser.run(
            "[document.querySelectorAll('table').length,"
            " [...document.images].filter(i => i.checkVisibility()).length,"
            " [...document.querySelectorAll('audio')].filter(a => a.controls && a.checkVisibility()).length,"
            " document.getElementById('ask').checkVisibility(),"
            " document.querySelectorAll('.heat tbody td').length]")
        self.assertEqual((tables, sounds, hidden), (6, len(NAMES), False))
        self.assertGreaterEqual(pictures, len(NAMES))
        self.assertEqual(squares, 3 * len(NAMES) ** 2)

    def test_search_page(self):
        """The other page of the family, under the same rules."""
        self.run_program("search", "data", "--index", self.path("i.sqlite"), "--model", SHARED.model,
                         "--device", "ref", "--top", "20", "--text", HOSTILE, "--image",
                         "data/p0.png", "--html", "found.html")
        for width in (360, 1440):
            self.open(self.path("found.html"), width=width)
            self.assertEqual(set(self.browser.run(f"Promise.all({PICTURES})")), {20})
            self.assertEqual(len(self.browser.run(WAIT_FOR_SOUNDS)), len(NAMES))
            total, inner, beyond = self.browser.run(OVERFLOW)
            self.assertLessEqual(total, inner)
            self.assertEqual(beyond, [])
            self.assert_quiet()


SHARED = None


def run():
    global SHARED
    import tempfile
    folder = tempfile.mkdtemp(prefix="onepeace-demo-")
    try:
        SHARED = Shared(folder)
        return main()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(run())
