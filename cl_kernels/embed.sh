#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: embed.sh OUT.c HEADER.h... KERNEL.cl... - writes the kernel sources as C strings. The
# headers together, in order, are the prelude of every kernel.
set -eu
out=$1
shift

quote() { # a file as C string literals, one a line
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$1"
}

{
    printf "#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n" # gcc and clang take more
    printf '#pragma GCC diagnostic ignored "-Woverlength-strings"\n' # gcc and clang take more
    printf '#include "backend/backend.h"\n\nconst char onp_kernel_prelude[] =\n'
    for file in "$@"; do
        case $file in *.h) quote "$file" ;; esac
    done
    printf '    ;\n\nconst struct onp_kernel_source onp_kernel_sources[] = {\n'
    for file in "$@"; do
        case $file in *.cl) ;; *) continue ;; esac
        printf '{"%s",\n' "$(basename "$file" .cl)"
        quote "$file"
        printf '},\n'
    done
    printf '{0, 0},\n};\n'
} >"$out.tmp"
mv "$out.tmp" "$out"
