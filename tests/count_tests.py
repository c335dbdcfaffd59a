#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the cases of a meson test run: count_tests.py WHAT TESTLOG.json RESULTS

A cmocka program counts as many tests as it ran, one that prints "N passed, M failed" as many as it
says, any other program as one. What was skipped, timed
out, crashed or did not run counts as failed. Appends "passed failed what" to RESULTS.
"""
import json
import re
import sys


def count(test):
    """(passed, failed) of one program."""
    text = test.get("stdout", "") + "\n" + test.get("stderr", "")
    passed = sum(map(int, re.findall(r"^\[  PASSED  \] (\d+) test", text, re.M)))
    failed = sum(map(int, re.findall(r"^\[  FAILED  \] (\d+) test", text, re.M)))
    failed += sum(map(int, re.findall(r"^\[  SKIPPED \] (\d+) test", text, re.M)))
    for p, f in re.findall(r"(\d+) passed, (\d+) failed", text):
        passed, failed = passed + int(p), failed + int(f)
    if test["result"] == "OK":
        return (passed, failed) if passed + failed else (1, 0)
    return passed, max(failed, 1)


def main():
    what, log, results = sys.argv[1:]
    passed = failed = 0
    try:
        with open(log, encoding="utf-8") as lines:
            tests = [json.loads(line) for line in lines]
    except OSError:
        tests = []
    for test in tests:
        p, f = count(test)
        passed, failed = passed + p, failed + f
        mark = "ok    " if f == 0 else "FAILED"
        print(f"   {mark} {p:5d} {test['name']} ({test['duration']:.1f} s)")
        if f:
            text = test.get("stdout", "") + "\n" + test.get("stderr", "")
            quiet = re.compile(r"^\[ (RUN     |      OK) \]")
            lines = [line for line in text.splitlines() if line and not quiet.match(line)]
            print("\n".join("      | " + line for line in lines[-60:]))
    if not tests:
        print(f"   FAILED no test ran ({what})")
        failed = 1
    with open(results, "a", encoding="utf-8") as out:
        out.write(f"{passed} {failed} {what}\n")


if __name__ == "__main__":
    main()
