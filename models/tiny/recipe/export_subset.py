#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes from the data folder what the repository ships: the demo's files and those of the quality
test.

usage: export_subset.py data=FOLDER [root=REPOSITORY]

Writes, whole and anew, with Pillow and numpy alone:
  models/tiny/demo/   demo.tsv, ATTRIBUTION.md, one picture and one sound a concept
  tests/data/tiny/    subset.tsv and the files that the demo does not have already; words.txt, the
                      concepts with sounds

None of these files was trained on. OpenMoji's pictures and the copyleft sounds are never taken: the
former are CC-BY-SA, and all of this lies beside code under Apache-2.0.

Which ones:
  demo       the concepts among those with sounds that have a drawing of the family streamline
             (split val) and a permissive recording of the split test; of each the drawing and the
             recording in demo_choice.tsv (see choose_demo.py: those that the model gets right, as the
             demo says), without that file the first ones in manifest order
The others are fixed by the rows of manifest.jsonl alone, whatever a model makes of them:
  drawings   all streamline drawings of concepts with sounds
  photos     all photographs of the split test of concepts with sounds
  recordings of the permissive ones of the split test, the first RECORDINGS of each concept in
             manifest order (all would be too many bytes for the repository)
"""
import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

RECORDINGS = 2
FAMILY = "streamline-emojis"
CHOICE = Path(__file__).with_name("demo_choice.tsv")
LICENCES = {
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "MIT": "https://spdx.org/licenses/MIT.html",
    "BSD-2-Clause": "https://spdx.org/licenses/BSD-2-Clause.html",
    "Artistic-1.0": "https://spdx.org/licenses/Artistic-1.0.html",
    "LicenseRef-public-domain": "",
}
PAGES = {  # where the packages of a bare name come from
    "package": "https://packages.debian.org/bookworm/{}",
    "npm": "https://www.npmjs.com/package/{}",
    "snapshot": "https://github.com/{}",
}


# --- Choosing --------------------------------------------------------------------------------

def read_rows(data):
    with open(data / "concepts.tsv", encoding="utf-8", newline="") as file:
        heard = [c["concept"] for c in csv.DictReader(file, delimiter="\t")
                 if c["has_sound"] == "yes"]
    with open(data / "manifest.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return heard, [r for r in rows if r.get("concept") in set(heard) and r["tier"] == "permissive"]


def first_of_each(rows):
    first = {}
    for row in rows:
        first.setdefault(row["concept"], row)
    return first


def chosen(rows):
    """{concept: (drawing, recording)} of demo_choice.tsv, or nothing."""
    if not CHOICE.exists():
        return {}
    by_file = {r["file"]: r for r in rows}
    with open(CHOICE, encoding="utf-8", newline="") as file:
        return {c["concept"]: (by_file[c["picture"]], by_file[c["sound"]])
                for c in csv.DictReader(file, delimiter="\t")}


def choose(heard, rows):
    """(demo: [(concept, drawing, recording)], drawings, photos, recordings)"""
    drawings = [r for r in rows if r.get("family") == FAMILY and r["split"] == "val"]
    photos = [r for r in rows if r["kind"] == "photo" and r["split"] == "test"]
    takes = [r for r in rows if r["kind"] == "recording" and r["split"] == "test"]
    drawing, take = first_of_each(drawings), first_of_each(takes)
    choice = chosen(drawings + takes)
    demo = [(c, *choice.get(c, (drawing[c], take[c]))) for c in heard if c in drawing and c in take]
    recordings, count = [], {}
    for row in takes:
        count[row["concept"]] = count.get(row["concept"], 0) + 1
        if count[row["concept"]] <= RECORDINGS:
            recordings.append(row)
    return demo, drawings, photos, recordings


# --- Writing ---------------------------------------------------------------------------------

def on_white(source, target):
    """What every reader of pictures agrees on: opaque RGB."""
    rgba = np.asarray(Image.open(source).convert("RGBA"), np.uint32)
    alpha = rgba[..., 3:]
    rgb = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    Image.fromarray(rgb.astype(np.uint8), "RGB").save(target, optimize=True)


def without_padding(source, target):
    """The FLAC file less its padding blocks, 8 kB each; the frames are copied as they are."""
    data = source.read_bytes()
    if data[:4] != b"fLaC":
        sys.exit(f"{source} is no FLAC file")
    at, last, blocks = 4, False, []
    while not last:
        last, kind = data[at] >= 128, data[at] & 127
        end = at + 4 + int.from_bytes(data[at + 1:at + 4], "big")
        if kind != 1:
            blocks.append(bytearray(data[at:end]))
        at = end
    for i, block in enumerate(blocks):
        block[0] = (block[0] & 127) | (128 if i == len(blocks) - 1 else 0)
    target.write_bytes(b"fLaC" + b"".join(blocks) + data[at:])


def write_file(row, data, target):
    (on_white if row["modality"] == "image" else without_padding)(data / row["file"], target)


def flat(text):
    return " ".join(text.split())


def author_of(row):
    return re.sub(r"^\?\?\?", "author not named", flat(row["author"]))


def source_of(row):
    return flat(f"{row['package']} {row['version']}: {row['path']}")


def page_of(row):
    kind = row["origin"]
    if row["package"].startswith("@"):
        kind = "npm"
    return PAGES[kind].format(row["package"])


def credit(row):
    return f"{author_of(row)}; {row['spdx']}; {source_of(row)}"


def write_table(path, columns, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        for cells in [columns] + rows:
            file.write("\t".join(cells) + "\n")


def plain_name(concept):
    return re.sub(r"[^a-z0-9]+", "-", concept)


ATTRIBUTION = """# Pictures and sounds of the demo

Written by `models/tiny/recipe/export_subset.py`. No model of this repository was trained on these files.

The pictures are drawings of the family {family}. **Changed**: drawn at 112 x 112 pixels from the
authors' SVG and put on a white ground. The sounds are **changed** too: mixed to one channel, resampled
to 16 kHz, cut to at most 3.2 seconds, stored as FLAC.

| file | concept | author | licence | source |
| --- | --- | --- | --- | --- |
"""


ABOUT = """No model of this repository was trained on these files. For the concepts that are told apart they
were chosen, among all files kept apart from training, because the default model gets them right; its card
has the figures over all of them. The pictures were drawn at 112 x 112 pixels from their authors' SVG and
put on a white ground; the sounds were mixed to one channel, resampled to 16 kHz and cut to at most 3.2
seconds.
"""


def cell(text):
    return flat(text).replace("|", "\\|")


def attribution_line(name, row):
    link = LICENCES[row["spdx"]]
    licence = f"[{row['spdx']}]({link})" if link else "public domain, by the source's statement"
    return (f"| `{name}` | {cell(row['concept'])} | {cell(author_of(row))} | {licence} "
            f"| [{cell(row['package'])}]({page_of(row)}) {cell(row['version'])}, `{cell(row['path'])}` |\n")


def write_demo(folder, data, demo):
    """Returns {manifest file: name in the folder}."""
    table, names, lines = [], {}, []
    for concept, drawing, take in demo:
        cells = [concept]
        for row, ending in ((drawing, ".png"), (take, ".flac")):
            name = names[row["file"]] = plain_name(concept) + ending
            write_file(row, data, folder / name)
            lines.append(attribution_line(name, row))
            cells.append(name)
        table.append(cells + [credit(drawing), credit(take)])
    write_table(folder / "demo.tsv",
                ["concept", "picture", "sound", "picture_credit", "sound_credit"], table)
    (folder / "ATTRIBUTION.md").write_text(ATTRIBUTION.format(family=FAMILY) + "".join(lines),
                                           encoding="utf-8")
    (folder / "about.txt").write_text(ABOUT, encoding="utf-8")
    return names


def write_subset(folder, data, groups, names):
    table = []
    for kind, rows in groups:
        for row in rows:
            if row["file"] in names:
                file = "../../../models/tiny/demo/" + names[row["file"]]
            else:
                file = Path(row["file"]).stem + (".png" if row["modality"] == "image" else ".flac")
                write_file(row, data, folder / file)
            table.append([file, kind, row["concept"], row["split"],
                          f"{author_of(row)}; {source_of(row)}", row["spdx"]])
    write_table(folder / "subset.tsv",
                ["file", "kind", "concept", "split", "credit", "licence"], table)


def empty(folder, endings):
    """The files of an earlier run go; what others keep there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.suffix in endings:
            path.unlink()


def main():
    options = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    if "data" not in options or set(options) - {"data", "root"}:
        sys.exit(__doc__)
    data = Path(options["data"])
    root = Path(options.get("root", Path(__file__).resolve().parents[3]))
    heard, rows = read_rows(data)
    demo, drawings, photos, recordings = choose(heard, rows)
    demo_folder, subset_folder = root / "models/tiny/demo", root / "tests/data/tiny"
    if demo_folder.is_dir():
        shutil.rmtree(demo_folder)
    demo_folder.mkdir(parents=True)
    empty(subset_folder, (".png", ".flac", ".tsv"))
    names = write_demo(demo_folder, data, demo)
    write_subset(subset_folder, data, (("drawing", drawings), ("photo", photos),
                                       ("recording", recordings)), names)
    (subset_folder / "words.txt").write_text("".join(word + "\n" for word in heard),
                                             encoding="utf-8")
    for folder in demo_folder, subset_folder:
        sizes = [p.stat().st_size for p in folder.iterdir()]
        print(f"{folder}: {len(sizes)} files, {sum(sizes)} bytes")
    print(f"demo {len(demo)} concepts; subset {len(drawings)} drawings, {len(photos)} photographs, "
          f"{len(recordings)} recordings")


if __name__ == "__main__":
    main()
