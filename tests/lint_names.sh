#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Exported names: lint_names.sh BUILD. Every global symbol of the static library starts with onp_;
# the shared library exports exactly the functions that the public headers declare.
set -eu
build=$1
fail=0

stray=$(nm -g --defined-only "$build/libonepeace_static.a" 2>/dev/null |
    awk 'NF == 3 && $3 !~ /^onp_/ { print $3 }' | sort -u)
if [ -n "$stray" ]; then
    echo "global symbols that do not start with onp_:"
    echo "$stray"
    fail=1
fi

declared=$(mktemp)
exported=$(mktemp)
trap 'rm -f "$declared" "$exported"' EXIT
cat host/include/onepeace/*.h | sed 's://.*::' | tr '\n' ' ' | tr ';{}' '[\n*]' |
    sed -n 's/.*ONP_API[^(]*[ *]\(onp_[a-z0-9_]*\)(.*/\1/p' | sort -u >"$declared"
nm -D --defined-only "$build/libonepeace.so" | awk '{ print $3 }' | grep -v '^_' |
    sort -u >"$exported"
[ -s "$declared" ] || { echo 'no declarations found'; fail=1; }
if ! diff "$declared" "$exported"; then
    echo "(< declared in a public header but not exported, > exported but not declared)"
    fail=1
fi
exit $fail
