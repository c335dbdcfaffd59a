#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a data folder: every file as pinned, none missing, none extra, splits without leaks.

usage: verify.py data=DIR [sums=FILE] [strict=no]
  data    the folder with manifest.jsonl, concepts.tsv, images/, backgrounds/, sounds/
  sums    the pinned hashes; default SHA256SUMS beside this script
  strict  yes: only the bytes of SHA256SUMS count

SHA256SUMS pins the data that the model in this repository was trained on. A file with other bytes
is accepted where it decodes to the pinned pixels or samples, the column `content` of pictures.tsv
and sounds.tsv: that is what an encoder of another version makes, and a rebuilt sound. (sox added
dithering noise from an unseeded generator to the first sounds, so nobody can make those bytes
again; the recipe's sounds have none, and `content` pins them.) The content "-" could not be pinned,
the repository being out of reach: such a sound is held to its length alone, its origin to the
commit in sources.tsv.

Rules: no picture under a copyleft licence, and none of OpenMoji, outside the test split; no licence
that forbids commercial use or changes; nothing but permissive licences in the permissive tier; no
drawing family, group of recordings, source file or content on two sides of a split.
"""
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

from build_manifest import is_permissive
from common import (HERE, MEDIA_FOLDERS, SAMPLE_RATE, Problem, Unreadable, options, read_sums,
                    read_table, run_main, sha256_file, yes)
from content import content_hash

DOCUMENTS = ("SOURCES.md", "recipe")  # may lie in the folder, are no part of the data
SPLITS = ("train", "val", "test")
KEYS = ("file", "modality", "kind", "family", "package", "path", "spdx", "tier", "split")
UNPINNED = "-"
LENGTH_TOLERANCE = 0.05  # seconds, of a sound without pinned content
STREAMINFO_LENGTH = 26


# --- Files -----------------------------------------------------------------------------------


def read_contents():
    """{file: its row} of both tables, for the columns content and seconds."""
    return {row["file"]: row for name in ("pictures.tsv", "sounds.tsv")
            for row in read_table(HERE / name)}


def flac_seconds(path):
    """The length that a FLAC file states, or None.

    After the mark and a block's head of 4 bytes each comes the stream's description; its bytes 10
    to 17 end in the count of samples, 36 bits.
    """
    with open(path, "rb") as stream:
        head = stream.read(STREAMINFO_LENGTH)
    if len(head) < STREAMINFO_LENGTH or head[:4] != b"fLaC":
        return None
    return (int.from_bytes(head[18:26], "big") & ((1 << 36) - 1)) / SAMPLE_RATE


def judge(path, pinned, row, strict=False):
    """How a file that is there compares: "bytes", "content", "length", or None where it differs."""
    if sha256_file(path) == pinned:
        return "bytes"
    if strict or row is None:
        return None
    if row["content"] == UNPINNED:
        seconds = flac_seconds(path)
        near = seconds is not None and abs(seconds - float(row["seconds"])) <= LENGTH_TOLERANCE
        return "length" if near else None
    try:
        return "content" if content_hash(path) == row["content"] else None
    except Unreadable:
        return None


def files_below(data):
    """The names of the files in a data folder, without the documents."""
    for path in sorted(data.iterdir()):
        if path.name in DOCUMENTS:
            continue
        if path.is_dir() and path.name in MEDIA_FOLDERS:
            yield from (f"{path.name}/{below.relative_to(path).as_posix()}"
                        for below in sorted(path.rglob("*")) if not below.is_dir())
        else:
            yield path.name


def check_files(data, sums, contents, strict=False):
    """Compares a folder with the pinned hashes: (counts by verdict, problems)."""
    counts, problems = Counter(), []
    for name, pinned in sums.items():
        path = data / name
        if not path.is_file():
            problems.append(f"{name}: missing")
            continue
        verdict = judge(path, pinned, contents.get(name), strict)
        if verdict:
            counts[verdict] += 1
        else:
            problems.append(f"{name}: differs from its pinned hash")
    problems += [f"{name}: extra, not listed" for name in files_below(data) if name not in sums]
    return counts, problems


# --- Manifest --------------------------------------------------------------------------------


def read_manifest(path):
    """The entries of a manifest."""
    entries = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: not readable: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise Problem(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(entry, dict) or any(not isinstance(entry.get(key), str) for key in KEYS):
            raise Problem(f"{path}:{number}: not an object with the texts {', '.join(KEYS)}")
        entries.append(entry)
    return entries


def check_names(entries, sums):
    """The manifest has one entry for each listed picture, background and sound."""
    count = Counter(entry["file"] for entry in entries)
    media = {name for name in sums if name.split("/")[0] in MEDIA_FOLDERS}
    for name in sorted(media - set(count)):
        yield f"{name}: not in the manifest"
    for name in sorted(set(count) - media):
        yield f"{name}: in the manifest, but not listed"
    for name in sorted(name for name, times in count.items() if times > 1):
        yield f"{name}: twice in the manifest"


def check_licence(entry):
    """The rules about licences and tiers."""
    name, spdx, split = entry["file"], entry["spdx"], entry["split"]
    if re.search(r"-N[CD]\b", spdx):
        yield f"{name}: licence {spdx} forbids commercial use or changes"
    if entry["tier"] == "permissive" and not is_permissive(spdx):
        yield f"{name}: licence {spdx} in the permissive tier"
    if entry["modality"] == "sound":
        return
    if split != "test" and not is_permissive(spdx):
        yield f"{name}: a picture under {spdx} in split {split}"
    if split != "test" and "openmoji" in (entry["family"] + entry["package"]).lower():
        yield f"{name}: a picture of OpenMoji in split {split}"


def origins(entry, sums):
    """What may lie on one side of a split only."""
    yield "source file", f"{entry['package']} {entry['path']}"
    if entry["file"] in sums:
        yield "content", sums[entry["file"]]
    if "group" in entry:
        yield "group", entry["group"]
    if entry["modality"] == "image" and entry["kind"] != "photo":
        yield "drawing family", entry["family"]


def check_splits(entries, sums):
    """No origin on two sides of a split; one file of each side is named."""
    sides = defaultdict(dict)
    for entry in entries:
        if entry["split"] not in SPLITS:
            yield f"{entry['file']}: split '{entry['split']}' is none of {', '.join(SPLITS)}"
        for origin in origins(entry, sums):
            sides[origin].setdefault(entry["split"], entry["file"])
    for (what, _), files in sides.items():
        if len(files) > 1:
            told = " and ".join(f"{name} ({split})" for split, name in sorted(files.items()))
            yield f"{told}: one {what} on two sides of a split"


def check_manifest(entries, sums):
    """All that is wrong with the entries of a manifest."""
    problems = list(check_names(entries, sums))
    problems += [problem for entry in entries for problem in check_licence(entry)]
    return problems + list(check_splits(entries, sums))


# --- Command ---------------------------------------------------------------------------------


def verify(data, sums, contents, strict=False):
    """Checks the folder `data`: (counts by verdict, problems)."""
    data = Path(data)
    if not data.is_dir():
        raise Problem(f"{data}: no such folder")
    counts, problems = check_files(data, sums, contents, strict)
    if (data / "manifest.jsonl").is_file():
        problems += check_manifest(read_manifest(data / "manifest.jsonl"), sums)
    return counts, problems


def report(counts, problems):
    """Prints the outcome; returns the exit status."""
    for problem in problems:
        print(problem)
    print(f"{sum(counts.values())} files as pinned ({counts['bytes']} equal in bytes, "
          f"{counts['content']} in decoded content, {counts['length']} held to their length), "
          f"{len(problems)} problems")
    return 1 if problems else 0


def main(argv):
    given = options(__doc__, argv, required=["data"], sums=str(HERE / "SHA256SUMS"), strict="no")
    strict = yes("strict", given.strict)
    return report(*verify(given.data, read_sums(given.sums), read_contents(), strict))


if __name__ == "__main__":
    run_main(main)
