#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Largest distance between rows of embeddings: distance.py GOT.npy WANT.npy:ROW... [--limit X]

Row i of GOT is compared with row ROW of the i-th WANT. Reads float32 .npy files without numpy.
Exits 1 if the distance exceeds the limit.
"""
import argparse
import array
import ast
import struct
import sys


def read_rows(path):
    with open(path, "rb") as file:
        data = file.read()
    if data[:6] != b"\x93NUMPY":
        sys.exit(f"{path} is not a .npy file")
    wide = data[6] > 1
    size, start = struct.unpack_from("<I" if wide else "<H", data, 8)[0], 12 if wide else 10
    header = ast.literal_eval(data[start:start + size].decode("latin-1"))
    if header["descr"] != "<f4" or header["fortran_order"] or len(header["shape"]) != 2:
        sys.exit(f"{path} is not a float32 matrix")
    values = array.array("f", data[start + size:])
    if sys.byteorder == "big":
        values.byteswap()
    rows, cols = header["shape"]
    return [values[r * cols:(r + 1) * cols] for r in range(rows)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("got")
    parser.add_argument("want", nargs="+")
    parser.add_argument("--limit", type=float, default=5e-6)
    args = parser.parse_args()
    got, worst = read_rows(args.got), 0.0
    if len(got) != len(args.want):
        sys.exit(f"{args.got} has {len(got)} rows, {len(args.want)} were expected")
    for row, name in zip(got, args.want):
        path, index = name.rsplit(":", 1)
        want = read_rows(path)[int(index)]
        distances = [abs(a - b) for a, b in zip(row, want)]
        if len(row) != len(want) or any(d != d for d in distances):
            sys.exit(f"{args.got}: a row is not like {name}")
        worst = max(worst, *distances)
    print(f"largest distance from the stored embeddings: {worst:.1e} (limit {args.limit:.0e})")
    return 0 if worst <= args.limit else 1


if __name__ == "__main__":
    sys.exit(main())
