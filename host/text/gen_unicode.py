#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes unicode_tables.c from the tables of the tokenizer goldens.

Usage: host/text/gen_unicode.py tests/data/golden/tokenizer/unicode_tables.json \
           > host/text/unicode_tables.c

The tables are Unicode 14, the version that the reference tokenizer ran with: another version
would split some texts at other places.
"""
import json
import sys


def lower_runs(pairs):
    """Runs (first, last, step, delta) over ascending (upper, lower) pairs."""
    runs = []
    for upper, lower in pairs:
        delta = lower - upper
        if runs:
            first, last, step, run_delta = runs[-1]
            gap = upper - last
            if delta == run_delta and (gap == step or (first == last and gap <= 2)):
                runs[-1] = (first, upper, gap, delta)
                continue
        runs.append((upper, upper, 1, delta))
    return runs


def print_table(declaration, name, rows):
    print(f"\nconst {declaration} {name}[] = {{")
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 100:
            print(line)
            line = "   "
        line += f" {row},"
    print(line)
    print("};")
    print(f"const size_t {name}_count = sizeof {name} / sizeof {name}[0];")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        tables = json.load(file)
    lower = {int(key, 16): [int(c, 16) for c in value] for key, value in tables["lower"].items()}
    # U+0130 is the only code point that lowers to two; unicode.c handles it and the final sigma.
    assert [key for key, value in lower.items() if len(value) != 1] == [0x130]
    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Unicode {tables['python_unicode']}, written by gen_unicode.py: do not edit.")
    print("// clang-format off")
    print('#include "text/unicode.h"')
    for name in ("letter", "number", "space", "cased", "case_ignorable"):
        rows = [f"{{0x{first:x}, 0x{last:x}}}" for first, last in tables[name]]
        print_table("struct onp_code_range", f"onp_unicode_{name}", rows)
    runs = lower_runs(sorted((key, value[0]) for key, value in lower.items() if len(value) == 1))
    rows = [f"{{0x{a:x}, 0x{b:x}, {step}, {delta}}}" for a, b, step, delta in runs]
    print_table("struct onp_lower_run", "onp_unicode_lower", rows)


main()
