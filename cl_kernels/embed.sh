#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: embed.sh OUT.c PRELUDE.h KERNEL.cl... - writes the kernel sources as C strings.
set -eu
out=$1
shift

quote() { # a file as C string literals, one a line
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$1"
}

{
    printf '#include "backend/backend.h"\n\nconst char onp_kernel_prelude[] =\n'
    quote "$1"
    printf '    ;\n\nconst struct onp_kernel_source onp_kernel_sources[] = {\n'
    shift
    for file in "$@"; do
        name=$(basename "$file" .cl)
        printf '{"%s",\n' "$name"
        quote "$file"
        printf '},\n'
    done
    printf '{0, 0},\n};\n'
} >"$out.tmp"
mv "$out.tmp" "$out"
