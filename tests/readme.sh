#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the README's examples, shell and C, as they stand, in an empty folder that sees build/,
# tests/ and models/.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/onepeace-readme.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
ln -s "$root/build" build
ln -s "$root/tests" tests
ln -s "$root/models" models
block() { # language
    awk -v begin="\140\140\140$1" '$0 == begin { on = 1; next } /^```$/ { on = 0 } on' \
        "$root/README.md"
}
block sh >examples.sh
block c >example.c
if [ ! -s examples.sh ] || [ ! -s example.c ]; then
    echo 'README.md lacks its shell or C examples'
    exit 1
fi
sh -eux examples.sh
cc -Wall -Wextra -Werror -I"$root/host/include" example.c -o example -L"$root/build" -lonepeace
LD_LIBRARY_PATH=$root/build ./example
