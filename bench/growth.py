#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How time grows with layers, batch and length: growth.py PROGRAM [--rounds N] [--kind KIND]

Runs `onepeace bench` at the published widths with synthetic weights, in rounds: each round goes
through all sizes, so that a drift of the machine meets all of them. A size's time is its best over the
rounds. A straight line is fitted by least relative squares; "off" is how far a size lies from it.
The first part doubles the layers at batch 1, the second the batch with two layers.

The third, which takes onepeace-bench-ours beside the program, lengthens one text and one sound, with
two layers. Attention is quadratic in the length, so what is tested is that time is straight in FLOP:
a + b * FLOP, FLOP being all that the encoder does at that length, as the library counts them. How far
the same times lie from a straight line in the length is shown beside it, untested. Standard library
only.
"""
import argparse
import array
import json
import os
import random
import subprocess
import tempfile

LAYERS = [1, 2, 4, 8]
BATCHES = [1, 2, 4, 8]
LENGTHS = {"text": [31, 63, 127, 255, 511],  # tokens; the positions are one more
           "audio": [16000 * s for s in (1, 2, 4, 8, 15)]}  # samples, 16 kHz
VOCABULARY = 50264


def report(args, layers, scenario, batch):
    """A quick report of one scenario, prepared inputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.json")
        subprocess.run([args.program, "bench", "--quiet", "--quick", "--synthetic",
                        f"1536,6144,{layers},24", "--kind", args.kind, "--scenario", scenario,
                        "--batch", str(batch), "--accuracy", "off", "--min-samples",
                        str(args.samples), "--json", path], check=True,
                       stdout=subprocess.DEVNULL)
        with open(path, encoding="utf-8") as file:
            return json.load(file)


def seconds(found, scenario, batch):
    """The best time of a run of `batch` items."""
    rows = [s for s in found["scenarios"] if s["scenario"] == scenario and s["batch"] == batch
            and s["scope"] == "encoder"]
    return min(s["best_s"] / s["items_per_sample"] * batch for s in rows)


def fit(sizes, times):
    """Intercept and slope with the least sum of squared relative distances."""
    weights = [1.0 / (t * t) for t in times]
    w = sum(weights)
    wx = sum(p * x for p, x in zip(weights, sizes))
    wy = sum(p * t for p, t in zip(weights, times))
    wxx = sum(p * x * x for p, x in zip(weights, sizes))
    wxy = sum(p * x * t for p, x, t in zip(weights, sizes, times))
    slope = (w * wxy - wx * wy) / (w * wxx - wx * wx)
    return (wy - slope * wx) / w, slope


def show(what, best, peaks):
    sizes = sorted(best)
    start, slope = fit(sizes, [best[n] for n in sizes])
    print(f"{what}: {1e3 * start:.1f} ms + {1e3 * slope:.1f} ms each")
    worst = 0.0
    for n in sizes:
        off = best[n] / (start + slope * n) - 1.0
        worst = max(worst, abs(off))
        print(f"  {n:4d}  {1e3 * best[n]:9.1f} ms  off {100 * off:+5.1f} %   float32 peak of its "
              f"runs {peaks[n]:.0f} GFLOP/s")
    print(f"  worst {100 * worst:.1f} %")


def measure(args, what, sizes, one):
    best, peaks = {}, {}
    for _ in range(args.rounds):
        for n in sizes:
            found, t = one(n)
            best[n] = min(best.get(n, t), t)
            peaks[n] = max(peaks.get(n, 0.0), found["peaks"]["fma_f32_gflops"])
    show(what, best, peaks)


class Server:
    """A process that keeps the model loaded and times runs."""

    def __init__(self, args, folder):
        program = os.path.join(os.path.dirname(args.program), "bench", "onepeace-bench-ours")
        self.folder = folder
        self.process = subprocess.Popen([program, "synthetic:1536,6144,2,24"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        print(self.process.stdout.readline().strip())

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"growth: {line}: no answer")
        return answer.strip()

    def add(self, kind, length):
        name, path = f"{kind}{length}", os.path.join(self.folder, "values")
        draw = random.Random(length)
        values = (array.array("i", [draw.randrange(4, VOCABULARY) for _ in range(length)])
                  if kind == "text" else
                  array.array("f", [draw.gauss(0.0, 1.0) for _ in range(length)]))
        with open(path, "wb") as file:
            values.tofile(file)
        self.ask(f"add {name} {kind} 1 {length} {path}")
        self.ask(f"run {name}")  # compiles
        return float(self.ask(f"flop {name}"))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def show_lengths(kind, flops, best, peak):
    sizes = sorted(best)
    times = [best[n] for n in sizes]
    start, slope = fit([flops[n] for n in sizes], times)
    line = fit(sizes, times)
    print(f"{kind}, length of one item with 2 layers: {1e3 * start:.1f} ms + FLOP at "
          f"{1e-9 / slope:.0f} GFLOP/s   float32 peak {peak:.0f} GFLOP/s")
    worst = 0.0
    for n in sizes:
        off = best[n] / (start + slope * flops[n]) - 1.0
        worst = max(worst, abs(off))
        length = f"{n:4d} tokens" if kind == "text" else f"{n // 16000:4d} s"
        print(f"  {length}  {1e-9 * flops[n]:7.1f} GFLOP {1e3 * best[n]:9.1f} ms  off "
              f"{100 * off:+5.1f} %   off a line in the length "
              f"{100 * (best[n] / (line[0] + line[1] * n) - 1.0):+5.1f} %")
    print(f"  worst {100 * worst:.1f} %")


def lengths(args):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args, folder)
        for kind, sizes in LENGTHS.items():
            flops = {n: server.add(kind, n) for n in sizes}
            best, peak = {}, 0.0
            for _ in range(args.rounds * args.samples):
                for n in sizes:
                    t = float(server.ask(f"run {kind}{n}"))
                    best[n] = min(best.get(n, t), t)
                peak = max(peak, float(server.ask("peak")))
            show_lengths(kind, flops, best, peak)
        server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kind", default="image", choices=["image", "audio", "text"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--part", choices=["layers", "batch", "length"])
    args = parser.parse_args()

    def layers(n):
        found = report(args, n, "single_stream", 1)
        return found, seconds(found, "single_stream", 1)

    def batch(n):
        found = report(args, 2, "offline", n)
        return found, seconds(found, "offline", n)

    if args.part in (None, "layers"):
        measure(args, f"{args.kind}, layers at batch 1", LAYERS, layers)
    if args.part in (None, "batch"):
        measure(args, f"{args.kind}, items of a run with 2 layers", BATCHES, batch)
    if args.part in (None, "length"):
        lengths(args)


if __name__ == "__main__":
    main()
