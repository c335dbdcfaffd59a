#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time of 'onepeace search' over a folder of small files: the first query, which embeds them, and
later ones, in seconds elapsed and of processor, and the largest memory in MB.

bench/search_folder.py PROGRAM [--files N] [--queries N] [OPTIONS OF SEARCH...]

Three quarters of the files are pictures and the rest sounds, all of seeded noise, in a temporary
folder. Options of search choose the model and the device; the kernels are compiled and cached
before anything is timed.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/cli"))
from media import png, wav  # noqa: E402


def make(folder, count):
    os.mkdir(folder)
    for i in range(count):
        name, data = (f"p{i:05}.png", png(i)) if i % 4 else (f"s{i:05}.wav", wav(i))
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        os.utime(os.path.join(folder, name), (1e9, 1e9))  # not of just now: read once


def run(command):
    begin = time.monotonic()
    with tempfile.TemporaryFile() as messages:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages)
        _, status, used = os.wait4(child.pid, 0)  # its own use, not that of all so far
        elapsed = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            messages.seek(0)
            sys.exit(messages.read().decode("utf-8", "replace"))
    return elapsed, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=5)
    args, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="onepeace-bench-") as folder:
        make(folder + "/one", 4)
        make(folder + "/media", args.files)
        ask = [args.program, "search", "--index", folder + "/i.sqlite", "--text", "dog", *options]
        run([*ask, folder + "/one"])
        print(f"{'':24}{'elapsed':>10}{'processor':>12}{'MB':>8}")
        print("first query %-12s%9.2f s%10.2f s%8.0f" % ("", *run([*ask, folder + "/media"])), flush=True)
        times = [run([*ask, folder + "/media"]) for _ in range(args.queries)]
        for elapsed, processor, memory in times:
            print("later query %-12s%9.2f s%10.2f s%8.0f" % ("", elapsed, processor, memory), flush=True)


if __name__ == "__main__":
    main()
