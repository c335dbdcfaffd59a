#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How time grows with the batch and with the layers: growth.py PROGRAM [--rounds N] [--kind KIND]

Runs `onepeace bench` at the published widths with synthetic weights, in rounds: each round goes
through all sizes, so that a drift of the machine meets all of them. A size's time is its best over the
rounds. A straight line is fitted by least relative squares; "off" is how far a size lies from it.
The first part doubles the layers at batch 1, the second the batch with two layers. Standard library
only.
"""
import argparse
import json
import os
import subprocess
import tempfile

LAYERS = [1, 2, 4, 8]
BATCHES = [1, 2, 4, 8]


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


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kind", default="image", choices=["image", "audio", "text"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--part", choices=["layers", "batch"])
    args = parser.parse_args()

    def layers(n):
        found = report(args, n, "single_stream", 1)
        return found, seconds(found, "single_stream", 1)

    def batch(n):
        found = report(args, 2, "offline", n)
        return found, seconds(found, "offline", n)

    if args.part != "batch":
        measure(args, f"{args.kind}, layers at batch 1", LAYERS, layers)
    if args.part != "layers":
        measure(args, f"{args.kind}, items of a run with 2 layers", BATCHES, batch)


if __name__ == "__main__":
    main()
