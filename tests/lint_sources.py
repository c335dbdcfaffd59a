#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what a reader of the sources relies on: the dependency law over #include lines, an SPDX
line first, files of at most 800 lines, and no unfinished business."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 800

# Layer of a file by its folder, and the layers that it may include from. Public headers and its own
# layer are always allowed. `backend.h` is a layer of its own: the contract without the back ends.
LAYERS = [
    ("host/include/", "public"), ("host/base/", "base"), ("host/graph/", "graph"),
    ("host/io/", "io"), ("host/text/", "text"), ("host/ops/ops.h", "ops.h"), ("host/ops/", "ops"),
    ("host/exec/", "exec"), ("host/backend/backend.h", "backend.h"),
    ("host/backend/registry", "registry"), ("host/backend/opencl/", "opencl"),
    ("host/backend/ref/", "ref"), ("host/backend/", "registry"), ("host/api/", "api"),
    ("host/cli/", "cli"), ("models/", "models"), ("cl_kernels/", "kernels"),
    ("tests/", "tests"), ("bench/", "bench"),
]
LAW = {
    "public": [],
    "base": [],
    "graph": ["base"],
    "io": ["base"],
    "text": ["base", "io"],
    "backend.h": ["base"],
    "ops.h": ["graph", "base"],
    "ops": ["ops.h", "graph", "backend.h", "base"],
    "exec": ["ops", "ops.h", "graph", "backend.h", "base"],
    "registry": ["backend.h", "base"],
    "opencl": ["backend.h", "base"],
    # The reference runs the ops' own C functions.
    "ref": ["backend.h", "base"],
    "models": ["ops.h", "graph", "io", "text", "base"],
    "api": ["models", "exec", "ops", "ops.h", "backend.h", "registry", "graph", "io", "text", "base"],
    "cli": [],
    "kernels": [],
}
# Third-party headers and their homes.
HOMES = {
    r"CL/": "opencl", r"clblast": "opencl", r"jansson": "io cli", r"sndfile": "io", r"soxr": "io",
    r"stb": "io", r"jpeglib|jerror": "io", r"png\.h": "io cli", r"sqlite3": "cli",
}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True,
                         check=True)
    return [name for name in out.stdout.split("\n") if name]


def layer(path):
    return next((name for prefix, name in LAYERS if path.startswith(prefix)), None)


def resolve(path, included):
    """The repository path of a quoted include, or None for a foreign header."""
    for base in (Path(path).parent, Path("host"), Path("host/include"), Path(".")):
        if (ROOT / base / included).is_file():
            return (base / included).as_posix()
    return None


def check_includes(path, text):
    mine = layer(path)
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
        if not match:
            continue
        included = match.group(2)
        for pattern, home in HOMES.items():
            if re.match(pattern, included) and mine not in (*home.split(), "tests", "bench"):
                yield f"{path}:{number}: only {home.replace(' ', ', ')} may include <{included}>"
        target = resolve(path, included)
        if match.group(1) == "<" or target is None or mine in ("tests", "bench", None):
            continue
        theirs = layer(target)
        if theirs not in ("public", mine) and theirs not in LAW[mine]:
            yield f"{path}:{number}: {mine} may not include \"{included}\" ({theirs})"


def check_file(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.split("\n")
    if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:2]):
        yield f"{path}:1: no SPDX line"
    if len(lines) - 1 > LIMIT:
        yield f"{path}: {len(lines) - 1} lines, at most {LIMIT}"
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line) and not path.endswith("lint_sources.py"):
            yield f"{path}:{number}: unfinished: {line.strip()}"
    if path.endswith((".c", ".h")):
        yield from check_includes(path, text)


def main():
    files = tracked("*.c", "*.h", "*.cl", "*.py", "*.sh", "dev", ".ci/run")
    problems = [problem for path in files for problem in check_file(path)]
    print("\n".join(problems))
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
