#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the training data of the tiny model from its public packages, and checks every file.

usage: build.py out=DIR [given=DIR] [downloads=DIR] [fetch=yes] [differing=error] [git=BASE]
  out        the data folder to make
  given      a built data folder: the files whose packages cannot be had come from there
  downloads  where archives and unpacked files are kept; default OUT.downloads (1.8 GB)
  fetch      no: fetch nothing, make nothing, take all files from `given`
  differing  given: a file made here that is not as pinned is named and taken from `given`
  git        address or folder before OWNER/NAME of the repositories; default https://github.com

Fetches the pinned versions of sources.tsv, makes pictures and sounds, takes what is missing from
`given`, writes the manifest, and verifies the folder (verify.py --help has the rules). What cannot
be fetched is named with the reason; without `given` it is an error. So is a file that is not as
pinned: newer tools than Debian 12's round a pixel otherwise now and then (Pillow 13.0.0: one of 750
pictures). The very bytes that the model was trained on: fetch=no given=DIR.

Needs Debian 12 with apt-get, git, npm, numpy, Pillow, and the packages librsvg2-bin sox
libsox-fmt-all flac fluidsynth; fetch=no needs none of them.
"""
import shutil
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import build_manifest
from common import (MEDIA_FOLDERS, Problem, fetched_packages, options, read_sources, read_sums,
                    run_main, sha256_file, yes)
from fetch import fetch_all
from verify import judge, read_contents, report, verify

TOOLS = {"rsvg-convert": "librsvg2-bin", "sox": "sox libsox-fmt-all", "flac": "flac",
         "fluidsynth": "fluidsynth"}
MODULES = {"numpy": "numpy", "PIL": "Pillow"}


def check_tools():
    """Names what is not installed before much is downloaded."""
    lacking = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    lacking += [name for module, name in MODULES.items() if not find_spec(module)]
    if lacking:
        raise Problem(f"not installed: {' '.join(lacking)}; or take a built data folder as it is "
                      "with fetch=no given=DIR")


def make(sources, downloads, out, git):
    """Fetches and makes what can be had: (the files made, {package: why it cannot be had})."""
    check_tools()
    import build_pictures  # they need numpy and Pillow, which fetch=no does without
    import build_sounds
    missing = fetch_all(sources, downloads, git)
    packages = set(fetched_packages(downloads, sources)) - set(missing)
    print(f"making pictures and sounds of {len(packages)} of {len(sources)} packages")
    made = build_pictures.build_all(downloads, out, packages)
    made += build_sounds.build_all(downloads, out, packages)
    return made, missing


def take(name, pinned, given, out):
    """Copies one file of the given data if it is as pinned; returns what is wrong or None."""
    source = Path(given, name)
    if not source.is_file():
        return f"{name}: not in {given}"
    if sha256_file(source) != pinned:
        return f"{source}: differs from its pinned hash"
    target = Path(out, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return None


def take_rest(names, sums, given, out):
    """Copies the files `names` from the given data, all or none of them wrong."""
    problems = [wrong for name in names if (wrong := take(name, sums[name], given, out))]
    if problems:
        shown = "\n  ".join(problems[:20])
        raise Problem(f"given={given}: {len(problems)} files cannot be taken:\n  {shown}")


def tell_origins(made, names, rows, missing):
    """Prints how many files were made and how many taken, by package for the latter."""
    print(f"{len(made)} files made, {len(names)} taken from the given data")
    for package, count in sorted(Counter(rows[name]["package"] for name in names).items()):
        why = f" ({missing[package]})" if package in missing else ""
        print(f"  {package}: {count} taken{why}")


def drop_differing(made, sums, rows, out):
    """The made files without those that are not as pinned, which are named."""
    kept = []
    for name in made:
        if judge(Path(out, name), sums[name], rows[name]):
            kept.append(name)
        else:
            print(f"{name}: made here it differs from its pinned hash, so the given one is taken")
    return kept


def build(out, given, downloads, fetch, differing, git):
    """The whole way; returns the exit status."""
    sources, sums, rows = read_sources(), read_sums(), read_contents()
    made, missing = make(sources, downloads, out, git) if fetch else ([], {})
    if differing == "given":
        made = drop_differing(made, sums, rows, out)
    names = sorted(set(rows) - set(made))
    if names and not given:
        raise Problem(f"{len(names)} files not made: {len(missing)} packages are out of reach "
                      f"({', '.join(sorted(missing))}); give a built data folder with given=DIR")
    take_rest(names, sums, given, out)
    tell_origins(made, names, rows, missing)
    build_manifest.build(out)
    return report(*verify(out, sums, rows))


def main(argv):
    given = options(__doc__, argv, required=["out"], given="", downloads="", fetch="yes",
                    differing="error", git="https://github.com")
    fetch = yes("fetch", given.fetch)
    if not fetch and not given.given:
        raise Problem("fetch=no makes nothing by itself: give a built data folder with given=DIR")
    if given.differing not in ("error", "given"):
        raise Problem(f"differing={given.differing}: error or given is expected")
    if given.differing == "given" and not given.given:
        raise Problem("differing=given needs a built data folder: give it with given=DIR")
    out = Path(given.out)
    for folder in MEDIA_FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
    downloads = given.downloads or f"{out}.downloads"
    return build(out, given.given, downloads, fetch, given.differing, given.git)


if __name__ == "__main__":
    run_main(main)
