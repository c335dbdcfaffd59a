#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py FILE.txt... OUT.c: writes the contributed tuning files as a table of C strings."""
import os
import sys


def quote(text):
    plain = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", ord("\t"): "\\t"}
    body = text.translate(plain)
    return '"' + "".join(c if ord(c) < 127 else "".join("\\%03o" % b for b in c.encode()) for c in body) + '"'


def main(out, paths):
    lines = ['#pragma GCC diagnostic ignored "-Woverlength-strings"', '#include "exec/tuned.h"', "",
             "const struct onp_contributed onp_contributed[] = {"]
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        lines.append("    {%s,\n%s}," % (quote("bench/tuned/" + os.path.basename(path)),
                                         "\n".join("     " + quote(line) for line in text.splitlines(True)) or '""'))
    lines += ["    {0, 0},", "};", ""]
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))


main(sys.argv[-1], sys.argv[1:-1])
