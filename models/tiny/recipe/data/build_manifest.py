#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the manifest and the list of concepts of the data from the tables beside this script.

usage: build_manifest.py out=DIR
  out  gets manifest.jsonl, one object a line for every picture, background and sound, and
       concepts.tsv; needs no network and no fetched package

Tiers by licence: permissive (CC0, public domain, MIT, BSD, Apache, CC-BY, Artistic), copyleft (GPL,
LGPL, CC-BY-SA, Free Art: sounds alone), copyleft-test-only (pictures under CC-BY-SA: never trained
on).
"""
import json
import re
import shutil
from pathlib import Path

from common import (HERE, concept_of, family_of, options, read_items, read_sources, read_table,
                    run_main)

PERMISSIVE = re.compile(r"CC0-1\.0|CC-BY-[0-9.]+|CC-PDDC|MIT|BSD-[0-9]-Clause|Apache-2\.0|"
                        r"Artistic-1\.0|LicenseRef-public-domain")
BACKGROUND_FAMILY = "gcompris-photo"


def is_permissive(spdx):
    """Whether a licence belongs to the permissive tier."""
    return PERMISSIVE.fullmatch(spdx) is not None


def words(cell):
    """The entries of a list in a cell: "a, b"."""
    return [word for word in cell.split(", ") if word]


def read_concepts(path=HERE / "concepts.tsv"):
    """{concept: its row}"""
    return {row["concept"]: row for row in read_table(path)}


def origin_of(row, source):
    """The keys that say where a file comes from and what may be done with it."""
    copyleft = "copyleft" if row["file"].startswith("sounds/") else "copyleft-test-only"
    return {
        "package": row["package"], "version": source["version"], "path": row["path"],
        "author": row["author"], "spdx": row["spdx"],
        "tier": "permissive" if is_permissive(row["spdx"]) else copyleft,
        "origin": "snapshot" if source["kind"] == "git" else "package",
    }


def picture_entry(row, source, concepts):
    """A picture's or background's line of the manifest."""
    concept = concept_of(row["file"])
    entry = {
        "file": row["file"], "modality": "image" if concept else "background", "kind": row["kind"],
        "concept": concept, "labels": [row["label"]] if row["label"] else [],
        "family": family_of(row["file"]) or BACKGROUND_FAMILY,
    }
    entry |= origin_of(row, source)
    entry["split"] = row["split"]
    entry["words"] = [concept, *words(concepts[concept]["aliases"])] if concept else []
    entry["sound_phrases"] = []
    return entry


def sound_entry(row, source, concepts):
    """A sound's line of the manifest."""
    concept = concept_of(row["file"])
    phrases = words(concepts[concept]["sound_phrases"])
    entry = {
        "file": row["file"], "modality": "sound", "kind": row["kind"], "concept": concept,
        "labels": phrases, "family": row["package"],
    }
    entry |= origin_of(row, source)
    entry |= {
        "group": row["group"], "segment": int(row["segment"]), "seconds": float(row["seconds"]),
        "split": row["split"], "words": [concept, *words(concepts[concept]["aliases"])],
        "sound_phrases": phrases,
    }
    return entry


def manifest():
    """The entries of the manifest in order."""
    sources, concepts = read_sources(), read_concepts()
    entries = [picture_entry(row, sources[row["package"]], concepts)
               for row in read_items("pictures.tsv", sources)]
    entries += [sound_entry(row, sources[row["package"]], concepts)
                for row in read_items("sounds.tsv", sources)]
    return entries


def build(out):
    """Writes manifest.jsonl and concepts.tsv; returns the number of entries."""
    Path(out).mkdir(parents=True, exist_ok=True)
    entries = manifest()
    with open(Path(out, "manifest.jsonl"), "w", encoding="utf-8") as lines:
        for entry in entries:
            lines.write(json.dumps(entry) + "\n")
    shutil.copyfile(HERE / "concepts.tsv", Path(out, "concepts.tsv"))
    return len(entries)


def main(argv):
    given = options(__doc__, argv, required=["out"])
    print(f"{build(given.out)} files in the manifest")
    return 0


if __name__ == "__main__":
    run_main(main)
