#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How busy a list of files keeps the device: pipeline.py PROGRAM MAKE_MODEL [options]

Writes a model of the published widths with few layers (seeded, untrained: speed does not depend on
the values), pictures and sounds, and embeds lists of them with --profile. For every list it prints
the items per second and the share of the run in which the device executed commands, from profiling
events. Then the rate of 200 ten-token texts is compared with that of ten times as many.

A real model has 40 layers: with few of them preparing the items weighs more than it ever will.
Standard library only.
"""
import argparse
import math
import os
import random
import re
import struct
import subprocess
import tempfile
import zlib

DISTINCT = 20  # files; a list repeats them, and each line is decoded anew


def write_png(path, width, height, seed):
    """Waves and noise, so that it is neither trivial to decode nor larger than a photograph."""
    rng = random.Random(seed)
    noise = rng.randbytes(3 * width + 4096)
    line = [int(100 + 90 * math.sin(x * 0.01 * (1 + seed % 5))) for x in range(3 * width)]
    rows = []
    for y in range(height):
        shift = rng.randrange(4096)
        rows.append(b"\0" + bytes(v + (noise[shift + x] & 15) for x, v in enumerate(line)))

    def part(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(
            ">I", zlib.crc32(name + data))

    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n"
                   + part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                   + part(b"IDAT", zlib.compress(b"".join(rows), 6)) + part(b"IEND", b""))


def write_wav(path, seconds, seed):
    """Stereo at 44.1 kHz, which has to be mixed down and resampled."""
    rate = 44100
    rng = random.Random(seed)
    noise = rng.randbytes(4 * rate)
    count = int(seconds * rate)
    samples = (noise * (count // rate + 1))[:4 * count]
    with open(path, "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt "
                   + struct.pack("<IHHIIHH", 16, 1, 2, rate, 4 * rate, 4, 16)
                   + b"data" + struct.pack("<I", len(samples)) + samples)


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.model = os.path.join(folder, "model.safetensors")
        subprocess.run([args.make_model, self.model, f"layers={args.layers}", "vocab=856"],
                       check=True)

    def embed(self, lines, *more):
        """(seconds from the first run's start to the last one's end, busy share)"""
        path = os.path.join(self.folder, "list.tsv")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
        command = [self.args.program, "embed", "--model", self.model, "--profile", "--input", path,
                   "-o", os.path.join(self.folder, "rows.npy"), *more]
        if self.args.tokenizer:
            command += ["--tokenizer", self.args.tokenizer]
        if self.args.device:
            command += ["--device", self.args.device]
        done = subprocess.run(command, stderr=subprocess.PIPE, check=False, text=True)
        found = re.search(r"device busy ([0-9.]+) % of ([0-9.]+) s", done.stderr)
        if done.returncode != 0 or not found:
            raise SystemExit(done.stderr)
        return float(found.group(2)), float(found.group(1))

    def report(self, what, lines, *more):
        seconds, busy = self.embed(lines, *more)
        rate = len(lines) / seconds
        print(f"{what:<44} {len(lines):5d} items {seconds:8.2f} s {rate:8.2f}/s  busy {busy:5.1f} %",
              flush=True)
        return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("make_model", help="onepeace-make-model of the build folder")
    parser.add_argument("--tokenizer", help="folder with encoder.json, vocab.bpe and dict.txt")
    parser.add_argument("--device")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the longest sound")
    parser.add_argument("--only", choices=["pictures", "sounds", "texts"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, folder)
        if args.only in (None, "pictures"):
            files = [os.path.join(folder, f"{i}.png") for i in range(DISTINCT)]
            for i, path in enumerate(files):
                write_png(path, 640, 480, i)
            bench.report(f"pictures 640 x 480, {args.layers} layers",
                         ["image\t" + files[i % DISTINCT] for i in range(args.count)])
        if args.only in (None, "sounds"):
            files = [os.path.join(folder, f"{i}.wav") for i in range(DISTINCT)]
            for i, path in enumerate(files):
                write_wav(path, args.seconds * (1 + i % 5) / 5, i)
            bench.report(f"sounds up to {args.seconds:g} s, {args.layers} layers",
                         ["audio\t" + files[i % DISTINCT] for i in range(args.count)])
        if args.only in (None, "texts") and args.tokenizer:
            texts = ["text\ttwo cows on a hill now"] * 200
            best = [0.0, 0.0]
            for _ in range(3):  # interleaved
                best[0] = max(best[0], bench.report("texts", texts))
                best[1] = max(best[1], bench.report("texts, long list", texts * 10))
            print(f"200 texts run at {100 * best[0] / best[1]:.0f} % of the rate of 2000")


main()
