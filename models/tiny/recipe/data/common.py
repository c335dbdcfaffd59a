# SPDX-License-Identifier: Apache-2.0
"""What the data scripts share: options on the command line, tables, hashes, names of files.

Tables are tab-separated text with a header line and no quoting. An empty cell of pictures.tsv or
sounds.tsv in the columns spdx and author means: as sources.tsv says for the package; the author "-"
means that none is stated.
"""
import csv
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
MEDIA_FOLDERS = ("images", "backgrounds", "sounds")
PICTURE_SIDE = 112
SAMPLE_RATE = 16000
STAMP = ".complete"  # written last into the folder of a fetched package


class Problem(Exception):
    """An error that is the user's to mend; its text names the file or option and the remedy."""


class Unreadable(Problem):
    """A file that a decoder refuses."""


def options(doc, argv, required=(), **defaults):
    """Options of the form key=value. --help prints `doc` and ends the program."""
    if any(word in ("-h", "--help", "help") for word in argv):
        print(doc.strip())
        sys.exit(0)
    known = [*required, *defaults]
    values = dict(defaults)
    for word in argv:
        key, equals, value = word.partition("=")
        if not equals or key not in known:
            raise Problem(f"unknown option '{word}': give key=value, key one of {', '.join(known)}")
        values[key] = value
    for key in required:
        if not values.get(key):
            raise Problem(f"the option {key}= is missing; --help says what it is")
    return SimpleNamespace(**values)


def yes(key, value):
    """The truth of a yes/no option."""
    if value not in ("yes", "no"):
        raise Problem(f"{key}={value}: yes or no is expected")
    return value == "yes"


def run_main(main):
    """Runs main(argv) and turns a Problem into one line on stderr and the exit status 1."""
    try:
        sys.exit(main(sys.argv[1:]))
    except Problem as problem:
        print(f"{Path(sys.argv[0]).name}: {problem}", file=sys.stderr)
        sys.exit(1)


def read_table(path):
    """The rows of a table as dictionaries."""
    try:
        with open(path, encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise Problem(f"{path}:{number}: the number of cells differs from the header's")
    return rows


def read_sources(path=HERE / "sources.tsv"):
    """sources.tsv by package."""
    return {row["package"]: row for row in read_table(path)}


def read_items(name, sources):
    """pictures.tsv or sounds.tsv with the empty cells spdx and author filled in."""
    rows = read_table(HERE / name)
    for row in rows:
        source = sources.get(row["package"])
        if source is None:
            raise Problem(f"{name}: {row['file']}: package {row['package']} is not in sources.tsv")
        row["spdx"] = row["spdx"] or source["licence"]
        row["author"] = "" if row["author"] == "-" else row["author"] or source["author"]
    return rows


def read_sums(path=HERE / "SHA256SUMS"):
    """{file: hash} of a list in the format of sha256sum."""
    sums = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line)
        if not match or not is_safe_name(match[2]):
            raise Problem(f"{path}:{number}: not a line of sha256sum with a relative name")
        sums[match[2]] = match[1]
    return sums


def run_tool(command, what, package, data=None):
    """Standard output of a program of the Debian `package`, run over the file or thing `what`."""
    try:
        return subprocess.run(command, input=data, capture_output=True, timeout=600,
                              check=True).stdout
    except FileNotFoundError as error:
        raise Problem(f"{command[0]} is needed: install the package {package}") from error
    except subprocess.TimeoutExpired as error:
        raise Unreadable(f"{what}: {command[0]} did not end within 10 minutes") from error
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip()
        raise Unreadable(f"{what}: {command[0]} failed: {told}") from error


def is_safe_name(name):
    """Whether a name from a list or an archive stays inside the folder that it is put into."""
    parts = name.split("/")
    return ".." not in parts and parts[0] != "" and not set(name) & {"\\", "\0"}


def sha256_file(path):
    """The SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def slug(package):
    """The name of a package's folder: its name with the slashes replaced."""
    return package.replace("/", "+")


def concept_of(file):
    """The concept in the name of a picture or sound, None for a background."""
    name = file.split("/")[-1]
    return name.split("__")[0].replace("_", " ") if "__" in name else None


def family_of(file):
    """The drawing family in the name of a picture: images/CONCEPT__FAMILY_NUMBER.webp"""
    match = re.fullmatch(r"images/.+?__(.+)_\d+\.webp", file)
    return match[1] if match else None


def files_folder(downloads, package):
    """Where fetch.py puts the files of a package."""
    return Path(downloads, "files", slug(package))


def fetched_packages(downloads, sources, packages=""):
    """Of `packages` ("A,B", or "" for all) those whose files fetch.py has brought completely."""
    names = packages.split(",") if packages else list(sources)
    for name in names:
        if name not in sources:
            raise Problem(f"packages={name}: not a package of sources.tsv")
    there = [name for name in names if (files_folder(downloads, name) / STAMP).is_file()]
    if packages and len(there) < len(names):
        lacking = ", ".join(sorted(set(names) - set(there)))
        raise Problem(f"{lacking}: not fetched; run fetch.py first")
    return there
