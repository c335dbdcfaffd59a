#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fetches the public packages that the data is made of and unpacks the files that are used.

usage: fetch.py downloads=DIR [packages=NAME,NAME...] [kinds=debian,npm,git] [git=BASE]
  downloads  archives go to DIR/archives, the used files of a package to DIR/files/PACKAGE
  packages   only these of sources.tsv; otherwise all
  kinds      only sources of these kinds
  git        address or folder before OWNER/NAME; default https://github.com

sources.tsv pins every version. The column pin is the archive's SHA-256 for a Debian package and the
full commit for a git repository; an archive that differs is an error. The archives of npm are not
pinned here ("-": npm checks them against its registry), the files made from them are (SHA256SUMS).
An archive that lies in DIR/archives already is used, so one can be brought by hand: a version that
Debian no longer has is kept by snapshot.debian.org. Needs apt-get and dpkg-deb (Debian 12), npm,
git; prints what could not be had and why, and then ends with the status 2.
"""
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import unpack
from common import (STAMP, Problem, files_folder, options, read_items, read_sources, run_main,
                    sha256_file, slug)

KINDS = ("debian", "npm", "git")
GCOMPRIS_RESOURCES = "usr/share/gcompris-qt/rcc/"
UNREACHABLE = re.compile(r"resolve|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONN|E403|unable to access")
TIMEOUTS = {"debian": 1200, "npm": 60, "git": 1800}


class Unavailable(Exception):
    """A source cannot be had here; `whole_kind` says that its registry does not answer at all."""

    def __init__(self, why, whole_kind=False):
        super().__init__(why)
        self.whole_kind = whole_kind


def wanted_files(sources):
    """{package: the files of it that the tables use}"""
    wanted = {package: set() for package in sources}
    for table in ("pictures.tsv", "sounds.tsv"):
        for row in read_items(table, sources):
            wanted[row["package"]].add(row["path"].partition("#")[0])
    return wanted


def run(command, kind, what, cwd=None):
    """Runs a fetching command without questions; any failure makes the source unavailable."""
    env = dict(os.environ, GIT_TERMINAL_PROMPT="0", LC_ALL="C.UTF-8")
    try:
        subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, check=True, timeout=TIMEOUTS[kind])
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed", whole_kind=True) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{what}: no answer in {TIMEOUTS[kind]} s", whole_kind=True) from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        told = next((line for line in lines if line.startswith(("E: ", "fatal:"))), lines[0])
        silent = UNREACHABLE.search(error.stderr) is not None
        raise Unavailable(f"{what}: {told}", whole_kind=silent) from error


# --- Debian ----------------------------------------------------------------------------------


def debian_archive(source, archives):
    """The package's .deb in `archives`, or None."""
    version = source["version"].replace(":", "%3a")
    found = [path for arch in ("all", "amd64")
             if (path := archives / f"{source['package']}_{version}_{arch}.deb").is_file()]
    return found[0] if found else None


def fetch_debian(source, wanted, archives, files):
    """Downloads, checks and unpacks a Debian package."""
    name = f"{source['package']}={source['version']}"
    if not debian_archive(source, archives):
        try:
            run(["apt-get", "download", "-q", name], "debian", name, cwd=archives)
        except Unavailable as error:
            error.args = (f"{error}; if Debian has another version now, get this one from "
                          f"snapshot.debian.org into {archives}",)
            raise
    path = debian_archive(source, archives)
    if path is None:
        raise Unavailable(f"{name}: apt-get left no package for amd64 or all in {archives}")
    if sha256_file(path) != source["pin"]:
        raise Problem(f"{path}: SHA-256 is not the pinned {source['pin']}; delete the file, it is "
                      "damaged or another build")
    unpack.unpack_debian(path, lambda member: member in wanted, files)
    if any(name.startswith("gcompris/") for name in wanted):
        unpack_gcompris(path, wanted, files)


def unpack_gcompris(path, wanted, files):
    """GCompris keeps its media inside Qt resource files."""
    resources = unpack.unpack_debian(
        path, lambda name: name.startswith(GCOMPRIS_RESOURCES) and name.endswith(".rcc"), files)
    for name in sorted(resources):
        unpack.unpack_rcc(files / name, lambda member: member in wanted, files)
        (files / name).unlink()


# --- npm -------------------------------------------------------------------------------------


def fetch_npm(source, wanted, archives, files):
    """Downloads and unpacks an npm package."""
    package, version = source["package"], source["version"]
    path = archives / f"{package.lstrip('@').replace('/', '-')}-{version}.tgz"
    if not path.is_file():
        run(["npm", "pack", "--loglevel=error", "--ignore-scripts", "--fetch-retries=0",
             f"{package}@{version}"], "npm", package, cwd=archives)
    if not path.is_file():
        raise Unavailable(f"{package}: npm left no {path.name} in {archives}")
    if source["pin"] not in ("-", sha256_file(path)):
        raise Problem(f"{path}: SHA-256 is not the pinned {source['pin']}; delete the file")
    unpack.unpack_npm(path, lambda member: member in wanted, files)


# --- git -------------------------------------------------------------------------------------


def fetch_git(source, wanted, archives, files, base):
    """Clones a repository without its contents, then fetches the wanted files of one commit."""
    package = source["package"]
    clone = archives / f"{slug(package)}.git"
    if not clone.is_dir():
        part = archives / f"{slug(package)}.part"
        shutil.rmtree(part, ignore_errors=True)
        run(["git", "clone", "--quiet", "--bare", "--filter=blob:none", f"{base}/{package}",
             str(part)], "git", package)
        part.rename(clone)
    run(["git", f"--git-dir={clone}", f"--work-tree={files}", "checkout", "--quiet", "--force",
         source["pin"], "--", *sorted(wanted)], "git", package)


# --- All of them -----------------------------------------------------------------------------


def check_files(package, wanted, files):
    """Every wanted file must be there, a plain file: a link could lead anywhere."""
    for name in sorted(wanted):
        path = files / name
        if path.is_symlink() or not path.is_file():
            raise Problem(f"{package}: the archive has no plain file {name}, yet the tables use it")


def fetch_one(source, wanted, downloads, base):
    """Brings the wanted files of one source to downloads/files/PACKAGE, once."""
    package = source["package"]
    archives = downloads / "archives"
    files = files_folder(downloads, package)
    stamp = files / STAMP
    names = hashlib.sha256("\n".join(sorted(wanted)).encode()).hexdigest()
    mark = f"{source['version']} {source['pin']} {names}\n"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == mark:
        return
    shutil.rmtree(files, ignore_errors=True)
    for folder in (archives, files):
        folder.mkdir(parents=True, exist_ok=True)
    if source["kind"] == "debian":
        fetch_debian(source, wanted, archives, files)
    elif source["kind"] == "npm":
        fetch_npm(source, wanted, archives, files)
    elif source["kind"] == "git":
        fetch_git(source, wanted, archives, files, base)
    else:
        raise Problem(f"sources.tsv: {package}: the kind is none of {', '.join(KINDS)}")
    check_files(package, wanted, files)
    stamp.write_text(mark, encoding="utf-8")


def fetch_all(sources, downloads, base="https://github.com", say=print):
    """Fetches what can be had. Returns {package: why not} of the rest.

    A registry that does not answer is asked once, not once a package; archives that lie there
    already are used all the same.
    """
    downloads = Path(downloads).resolve()
    wanted = wanted_files(read_sources())
    missing, silent = {}, {}
    for package, source in sources.items():
        kind = source["kind"]
        offline = silent.get(kind)
        try:
            if offline and not have_archive(source, downloads / "archives"):
                raise Unavailable(offline)
            fetch_one(source, wanted[package], downloads, base)
            say(f"{package} {source['version']}: ready")
        except Unavailable as error:
            missing[package] = str(error)
            if error.whole_kind:
                silent[kind] = f"{kind} does not answer"
            say(f"{package} {source['version']}: not available: {error}")
    return missing


def have_archive(source, archives):
    """Whether a source needs no network any more."""
    package = source["package"]
    if source["kind"] == "debian":
        return debian_archive(source, archives) is not None
    if source["kind"] == "npm":
        name = f"{package.lstrip('@').replace('/', '-')}-{source['version']}.tgz"
        return (archives / name).is_file()
    return (archives / f"{slug(package)}.git").is_dir()


def choose(sources, packages, kinds):
    """The sources that the options packages= and kinds= leave."""
    names = packages.split(",") if packages else list(sources)
    for name in names:
        if name not in sources:
            raise Problem(f"packages={name}: not a package of sources.tsv")
    for kind in kinds.split(","):
        if kind not in KINDS:
            raise Problem(f"kinds={kind}: none of {', '.join(KINDS)}")
    return {name: sources[name] for name in names if sources[name]["kind"] in kinds.split(",")}


def main(argv):
    given = options(__doc__, argv, required=["downloads"], packages="", kinds=",".join(KINDS),
                    git="https://github.com")
    sources = choose(read_sources(), given.packages, given.kinds)
    missing = fetch_all(sources, given.downloads, given.git)
    ready = len(sources) - len(missing)
    print(f"{ready} of {len(sources)} sources ready, {len(missing)} not available")
    return 2 if missing else 0


if __name__ == "__main__":
    run_main(main)
