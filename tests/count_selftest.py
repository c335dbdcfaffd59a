#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the cases of a self-test: count_selftest.py WHAT STATUS OUTPUT RESULTS

The self-test ends with a line that holds "N passed, M failed". A run that failed otherwise, or that
has no such line, counts as one failure. Appends "passed failed what" to RESULTS.
"""
import re
import sys


def main():
    what, status, output, results = sys.argv[1:]
    with open(output, encoding="utf-8", errors="replace") as lines:
        text = lines.read()
    sums = re.findall(r"(\d+) passed, (\d+) failed", text)
    passed, failed = map(int, sums[-1]) if sums else (0, 1)
    if status != "0" or passed == 0:
        failed = max(failed, 1)
    print(f"   {'FAILED' if failed else 'ok    '} {passed:5d} {what}")
    if failed:
        print("\n".join("      | " + line for line in text.splitlines()[-60:]))
    with open(results, "a", encoding="utf-8") as out:
        out.write(f"{passed} {failed} {what}\n")


if __name__ == "__main__":
    main()
