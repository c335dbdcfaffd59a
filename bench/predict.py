#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What GPUs should do before any has run: predict.py prints bench/predictions.md.

    python3 bench/predict.py > bench/predictions.md
    python3 bench/predict.py --check    exit status 1 if the file is not what this prints

Occupancy and traffic of the kernels' programs, from their registers and local memory
(bench/results/targets.txt), and what cards should reach at most, from executed instructions
(bench/results/emulate.txt) and the facts below, each with its source.
Standard library only.
"""
import argparse
import os
import re
import sys
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))

# A unit is what shares local memory. registers: of a lane, in one of `simds` parts of the unit,
# given out by `granule` (0: a fixed part for each thread). waves: most in a part. groups: most of
# several waves in the unit. local_steps: what a group can get; local_extra: taken for each group.
Arch = namedtuple("Arch", "unit simds registers granule waves local local_steps local_extra "
                  "groups source")
KIB = 1024
POWERS = [0] + [KIB << i for i in range(7)]
LLVM = ("LLVM, llvm/lib/Target/AMDGPU/Utils/AMDGPUBaseInfo.cpp (registers, granule, waves, "
        "groups); ROCm, AMD GPU specifications (local memory)")
OCCUPANCY = ("Intel GPU Occupancy Calculator, oneapi-src/oneAPI-samples (threads, local memory and "
             "its sizes, barriers)")
TRAITS = ("NVIDIA/cccl, libcudacxx/include/cuda/__device/arch_traits.h (registers, warps, groups, "
          "local memory and what a group loses of it); granule of 8 a lane: not looked up for this "
          "architecture (cuda_occupancy.h says so of 3.x and 5.x)")
ARCHS = {
    "skl": Arch("subslice", 8, 0, 0, 7, 64 * KIB, POWERS, 0, 32, OCCUPANCY),
    "tgllp": Arch("dual subslice", 16, 0, 0, 7, 64 * KIB, POWERS, 0, 32, OCCUPANCY),
    "acm-g10": Arch("Xe-core", 16, 0, 0, 8, 128 * KIB, POWERS, 0, 32, OCCUPANCY),
    "pvc": Arch("Xe-core", 8, 0, 0, 8, 128 * KIB,
                sorted(POWERS + [48 * KIB, 96 * KIB, 128 * KIB]), 0, 32, OCCUPANCY),
    "gfx900": Arch("CU", 4, 256, 4, 10, 64 * KIB, None, 0, 16, LLVM),
    "gfx906": Arch("CU", 4, 256, 4, 10, 64 * KIB, None, 0, 16, LLVM),
    "gfx90a": Arch("CU", 4, 512, 8, 8, 64 * KIB, None, 0, 16, LLVM),
    "gfx1030": Arch("WGP", 4, 1024, 16, 16, 128 * KIB, None, 0, 32, LLVM),
    "sm_75": Arch("SM", 4, 512, 8, 8, 64 * KIB, None, 0, 16, TRAITS),
    "sm_80": Arch("SM", 4, 512, 8, 16, 164 * KIB, None, KIB, 32, TRAITS),
}

# units: as in ARCHS, of what OpenCL shows as one device. reported: its CL_DEVICE_MAX_COMPUTE_UNITS.
# lanes: lane-instructions that a unit issues in a clock; flop: FLOP in a clock of the quoted peak.
# counts: the emulated target whose instruction counts are taken; own: it is this one.
Card = namedtuple("Card", "name arch row units simds reported lanes flop peak gbps counts own "
                  "source")
CARDS = [
    Card("HD Graphics 530", "skl", "gpu-simd8", 3, 8, 24, 64, 128, 0.3648, 34.1, "gfx1100", False,
         "24 EUs, 0.95 GHz, 0.365 TFLOP/s: fpsbench.com; bandwidth: two channels of DDR4-2133, "
         "2 x 8 x 2.133, not looked up"),
    Card("Iris Xe MAX", "tgllp", "gpu-simd8", 6, 16, 96, 128, 256, 2.534, 68.3, "gfx1100", False,
         "96 EUs, 1.65 GHz, 2.534 TFLOP/s, 68.26 GB/s: fpsbench.com"),
    Card("Arc A770", "acm-g10", "gpu-simd8", 32, 16, 512, 128, 256, 19.66, 512, "gfx1100", False,
         "512 EUs: Intel's calculator; 2.4 GHz, 19.66 TFLOP/s, memory of 16 Gbit/s on 256 bits: "
         "cputronic.com (cards with faster memory exist)"),
    Card("Max 1550, one stack", "pvc", "gpu-simd16", 64, 8, 512, 128, 256, 26.2, 1638, "gfx1100",
         False, "half of 128 Xe-cores and 3276.8 GB/s, 1.6 GHz, 512-bit vector engines: "
         "glennklockwood.com, after ark.intel.com; peak computed from these"),
    Card("Instinct MI25", "gfx900", "gpu-wave64", 64, 4, 64, 64, 128, 12.3, 484, "gfx1100", False,
         "64 CUs: ROCm, GPU specifications; 12.3 TFLOP/s, 484 GB/s: Wikipedia, AMD Instinct"),
    Card("Instinct MI50", "gfx906", "gpu-wave64", 60, 4, 60, 64, 128, 13.3, 1024, "gfx1100", False,
         "60 CUs: ROCm, GPU specifications; 13.3 TFLOP/s, 1024 GB/s: Wikipedia, AMD Instinct"),
    Card("Instinct MI250X, one die", "gfx90a", "gpu-wave64", 110, 4, 110, 64, 128, 23.95, 1600,
         "gfx942", False, "110 CUs a die: ROCm, GPU specifications; half of 47.9 TFLOP/s (vector, "
         "not packed) and 3.2 TB/s: AMD's announcement, after zexron.com"),
    Card("Radeon RX 6900 XT", "gfx1030", "gpu-wave32", 40, 4, 40, 128, 256, 23.04, 512, "gfx1100",
         False, "80 CUs, 2.25 GHz, 23.04 TFLOP/s, 512 GB/s: AMD's list, after gizmoseries.com; 40 "
         "compute units reported: krrishnarraj/clpeak issue 101"),
    Card("Radeon RX 7900 XTX", "gfx1100", "gpu-wave32", 48, 4, 48, 128, 512, 61.42, 960, "gfx1100",
         True, "96 CUs, 2.5 GHz, 61.42 TFLOP/s: cputronic.com; 960 GB/s: pcspecchart.com; 48 "
         "compute units reported: as its predecessor, not looked up"),
    Card("Instinct MI300X", "gfx942", "gpu-wave64", 304, 4, 304, 64, 256, 163.4, 5300, "gfx942",
         True, "304 CUs: ROCm, GPU specifications; 5.3 TB/s: emergentmind.com; 163.4 TFLOP/s: as "
         "commonly quoted, not looked up (2.1 GHz x 304 x 256)"),
    Card("T4", "sm_75", "gpu-warp32", 40, 4, 40, 128, 128, 8.1, 320, "gfx1100", False,
         "40 SMs, 1.59 GHz, 8.141 TFLOP/s, 320 GB/s: sysrqmts.com; four schedulers, an instruction "
         "over two clocks: NVIDIA, Turing Tuning Guide"),
    Card("A100 40 GB", "sm_80", "gpu-warp32", 108, 4, 108, 128, 128, 19.49, 1555, "gfx1100", False,
         "108 SMs, 1.41 GHz, 1555 GB/s: RajBhope/gpu-runtime-predictor, huggingface.co; 19.49 "
         "TFLOP/s: hmc-tech.com; schedulers as the T4's, not looked up"),
    Card("H100 SXM5", "sm_90", "gpu-warp32", 132, 4, 132, 128, 256, 66.9, 3350, "gfx1100", False,
         "132 SMs of 128 lanes, 1.98 GHz, 66.9 TFLOP/s, 3.35 TB/s: glennklockwood.com"),
]

LAYERS, WIDE, FFN = 40, 1536, 6144  # "full" in host/include/onepeace/model.h
Product = namedtuple("Product", "name n k products")
PRODUCTS = [Product("Q, K, V", 3 * WIDE, WIDE, 1), Product("out", WIDE, WIDE, 1),
            Product("gate x value", FFN, WIDE, 2), Product("down", WIDE, FFN, 1)]
PICTURE, SOUND, TEXT = (257, 0.79e12), (750, 2.40e12), 12  # rows and FLOP (the issue's); rows

# mix: instructions for each fma of the busiest loop, both sides of its branches counted (Intel only).
Program = namedtuple("Program", "target registers mix local simd name defines classes")
Tile = namedtuple("Tile", "rows cols item_rows item_cols")


def up(value, step):
    return -(-value // step)


def read(name):
    with open(os.path.join(HERE, "results", name), encoding="utf-8") as file:
        return file.read()


def read_programs():
    """Every compiled program of targets.txt."""
    line = re.compile(r"^(\S+) +registers +(\d+) .*?(?:fma (\d+)/(\d+)  )?local +(\d+)  "
                      r"simd +(\d+)  (\w+) ?(.*) \(([\w,-]+)\)$", re.M)
    return [Program(m[1], int(m[2]), int(m[4]) / int(m[3]) if m[3] else None, int(m[5]), int(m[6]),
                    m[7], m[8], m[9].split(",")) for m in line.finditer(read("targets.txt"))]


def read_counts():
    """Executed lane-instructions a FLOP: {(target, class, variant, case): number}."""
    line = re.compile(r"^(gfx\d+) +(\w+) +ok +(\w+) / (.*?): error .* ([\d.]+) a FLOP", re.M)
    return {(m[1], m[2], m[3], m[4]): float(m[5]) for m in line.finditer(read("emulate.txt"))}


# The tile that the library takes: host/ops/matmul_variants.c, host/exec/tuning.c.

def tile_of(row, rows, products):
    item_rows, item_cols = (8, 4) if row in ("gpu-simd8", "gpu-simd16") else (8, 8)
    sums = item_rows * item_cols
    while (products * item_rows * item_cols > sums or
           rows * 64 < 128 * item_rows * item_cols) and item_rows + item_cols > 8:
        if item_cols > 4:
            item_cols = 4
        else:
            item_rows = 4
    return Tile(rows, 64, item_rows, item_cols)


def tile_cost(tile, m, n, reported):
    item = (tile.item_rows + tile.item_cols) / (tile.item_rows * tile.item_cols)
    size = tile.rows * tile.cols
    groups = up(m, tile.rows) * up(n, tile.cols)
    return max(groups, reported) * size * (1 + item + 4 * (tile.rows + tile.cols) / size)


def whole_rows(row):
    return 64 if row in ("gpu-simd8", "gpu-simd16") else 128


SUB_GROUPS = {"gpu-simd8": 8, "gpu-simd16": 16, "gpu-wave32": 32, "gpu-wave64": 64}


def sub_group_tile(row, products):
    """A sub-group's: 8 rows, 4 columns a work-item, of two products 2."""
    cols = 4 // products
    return Tile(8, SUB_GROUPS[row] * cols, 8, cols)


def team_of(row):
    """Tiles, one above the other, that read weights together."""
    return 8 if row in ("gpu-simd8", "gpu-simd16") else 1


def chosen_tile(row, m, product, reported):
    if row in ("gpu-simd8", "gpu-simd16"):
        return sub_group_tile(row, product.products)
    return group_tile(row, m, product, reported)


def group_tile(row, m, product, reported):
    rows = whole_rows(row)
    best = tile_of(row, rows, product.products)
    while rows > 16:
        rows //= 2
        lower = tile_of(row, rows, product.products)
        if tile_cost(lower, m, product.n, reported) < tile_cost(best, m, product.n, reported):
            best = lower
    return best


# Occupancy.

def local_size(arch, local):
    if arch.local_steps:
        local = min(step for step in arch.local_steps if step >= local)
    return local + arch.local_extra


def occupancy(program, items):
    """Resident waves of a unit, the most it holds, and what ends them."""
    arch = ARCHS[program.target]
    waves = up(items, program.simd)
    most = arch.waves * arch.simds
    limits = [(most // waves, "wave slots")]
    if arch.granule:
        part = min(arch.waves, arch.registers // (up(program.registers, arch.granule) *
                                                  arch.granule))
        limits.append((part * arch.simds // waves, "registers"))
    if program.local:
        limits.append((arch.local // local_size(arch, program.local), "local memory"))
    if waves > 1:
        limits.append((arch.groups, "group slots"))
    groups, why = min(limits, key=lambda limit: limit[0])  # the first of equals
    return groups * waves, most, why


def represented(row):
    """(title, variant, defines that it has, that it lacks, work-items of a group)."""
    rows = whole_rows(row)
    listed = []
    for gate in (0, 1):
        tile = tile_of(row, rows, 1 + gate)
        items = tile.rows // tile.item_rows * (tile.cols // tile.item_cols)
        has = [f"TILE_M={rows}", f"TM={tile.item_rows}", f"TN={tile.item_cols}"]
        for kind in ("f32", "f16"):
            lists = [["WEIGHT_HALF"], ["GATE"]]  # what it lacks, unless it is what it has
            both = [lists[0] if kind == "f16" else [], lists[1] if gate else []]
            lacks = [d for d in ("WEIGHT_HALF", "GATE") if [d] not in both]
            title = f"product {rows} x 64{', gate' if gate else ''}, {kind}"
            listed.append((title, "matmul_group", has + both[0] + both[1], lacks, items))
    for gate in ("", ", gate") if row in SUB_GROUPS else ():
        cols = sub_group_tile(row, 2 if gate else 1).cols
        listed.append((f"product 8 x {cols}{gate}, f32, sub-groups", "matmul_subgroup",
                       ["ROWS=8"] + (["GATE"] if gate else []),
                       ["WEIGHT_HALF"] + ([] if gate else ["GATE"]), SUB_GROUPS[row]))
    listed.append(("few rows 16 x 64, f32", "matmul_group", ["TILE_M=16", "TILE_N=64"],
                   ["WEIGHT_HALF", "GATE"], 64))
    listed.append(("few rows 16 x 64, f16", "matmul_group",
                   ["TILE_M=16", "TILE_N=64", "WEIGHT_HALF"], ["GATE"], 64))
    listed.append(("attention, heads of 64", "attention_group", ["HEAD=64", "ROWS=16"], [], 64))
    listed.append(("LayerNorm, 1536 wide", "layernorm_group", ["LANES=256", "AFFINE"], ["GELU"],
                   256))
    if SUB_GROUPS.get(row, 0) >= 32:
        listed.append(("LayerNorm, 1536 wide, sub-groups", "layernorm_subgroup",
                       [f"QUADS={1536 // 4 // SUB_GROUPS[row]}", "AFFINE"], ["GELU"],
                       SUB_GROUPS[row]))
    listed.append(("grouped convolution", "grouped_conv_tile", [], [], 1))
    return listed


def find(programs, target, row, variant, has, lacks):
    for program in programs:
        words = program.defines.split()
        if (program.target == target and row in program.classes and program.name == variant and
                all(d in words for d in has) and not any(d in words for d in lacks)):
            return program
    sys.exit(f"predict.py: targets.txt has no {variant} {' '.join(has)} for {target}, {row}")


def row_of(programs, target):
    """The class that a target's driver is expected to be in."""
    names = {name for p in programs if p.target == target for name in p.classes}
    return sorted(names - {"gpu", "gpu-small"})[0]


def print_target(out, programs, target):
    arch = ARCHS[target]
    row = row_of(programs, target)
    out(f"\n### {target} (row `{row}`)\n")
    out(f"{'An' if arch.unit == 'SM' else 'A'} {arch.unit}: {arch.simds} x {arch.waves} waves at "
        f"most, {arch.local // KIB} KiB of local memory. {arch.source}.\n")
    out("| program | registers | local bytes | waves | of the most | limited by |")
    out("| --- | --- | --- | --- | --- | --- |")
    for title, variant, has, lacks, items in represented(row):
        program = find(programs, target, row, variant, has, lacks)
        waves, most, why = occupancy(program, items)
        out(f"| {title} | {program.registers} | {program.local} | {waves} | "
            f"{100 * waves / most:.0f} % of {most} | {why} |")


# Traffic and rates.

def memory_intensity(tile, products, weight_bytes):
    """FLOP for a byte that a tile reads from memory or its caches."""
    return (2 * products * tile.rows * tile.cols /
            (4 * tile.rows + weight_bytes * products * tile.cols))


def local_intensity(tile, products):
    return (2 * products * tile.item_rows * tile.item_cols /
            (4 * (tile.item_rows + products * tile.item_cols)))


def mix_of(programs, target, row, variant, tile, products):
    """Instructions for each fma of Intel's loop of a product, f32 weights."""
    has = [f"TILE_M={tile.rows}", f"TILE_N={tile.cols}"] if variant == "matmul_group" else []
    lacks = ["WEIGHT_HALF"] + ([] if products > 1 else ["GATE"])
    return find(programs, target, row, variant, has + (["GATE"] if products > 1 else []), lacks).mix


def count_of(card, facts, tile, products):
    """Intel's mix is in targets.txt. Of others counts exist for the whole tiles of two classes and
    for 16 x 64; others take the nearest."""
    programs, counts = facts
    if card.row in ("gpu-simd8", "gpu-simd16"):
        return mix_of(programs, card.arch, card.row, "matmul_subgroup", tile, products) / 2
    case = "whole tiles, half gate" if products > 1 else "whole tiles"
    pinned = {"gfx1100": "pinned32", "gfx942": "pinned64"}[card.counts]
    unpinned = {"gfx1100": "wave32", "gfx942": "wave64"}[card.counts]
    block = tile.item_rows * tile.item_cols
    if block * products >= 64:
        name = pinned
    else:
        name = "simd8" if tile.rows >= 64 else unpinned
    return counts[card.counts, name, "matmul_group", case]


def issue_bound(card, facts, tile, products):
    """Part of the peak that instructions leave, if every clock issues one for each lane."""
    return min(1.0, card.lanes / (count_of(card, facts, tile, products) * card.flop))


def wave_width(card, tile, products):
    """Work-items of a wave, as in targets.txt."""
    del tile, products
    return SUB_GROUPS.get(card.row, 32)


def rounds(card, tile, products, groups):
    """Part of the device's SIMDs that has work, if units take groups in turn."""
    items = tile.rows // tile.item_rows * (tile.cols // tile.item_cols)
    waves = up(items, wave_width(card, tile, products))
    longest = up(up(groups, card.units) * waves, card.simds)
    return groups * waves / (card.units * card.simds * longest)


def seconds(card, facts, m, product, weight_bytes):
    """(least, most) time of one product in this model, and its tile."""
    tile = chosen_tile(card.row, m, product, card.reported)
    flop = 2 * product.products * m * product.n * product.k
    rows = up(m, tile.rows)
    padded = flop * rows * tile.rows / m
    groups = rows * up(product.n, tile.cols)
    issue = padded / (issue_bound(card, facts, tile, product.products) * card.peak * 1e12)
    unique = (4 * m * (product.k + product.n) +
              weight_bytes * product.products * product.n * product.k)
    weights = weight_bytes * product.products * tile.cols * up(rows, team_of(card.row))
    each = (up(product.n, tile.cols) * product.k * (4 * rows * tile.rows + weights) +
            4 * m * product.n)
    rate = card.gbps * 1e9
    busy = rounds(card, tile, product.products, groups)
    return (max(issue, unique / rate), max(issue / busy, each / rate), tile)


def total(card, facts, m, weight_bytes):
    """(least, most) time of a layer's four products, and their FLOP."""
    times = [seconds(card, facts, m, p, weight_bytes) for p in PRODUCTS]
    flop = sum(2 * p.products * m * p.n * p.k for p in PRODUCTS)
    return sum(t[0] for t in times), sum(t[1] for t in times), flop


def between(low, high, form):
    """A range, once if both ends print alike."""
    low, high = form.format(low), form.format(high)
    return low if low == high else f"{low} to {high}"


def print_traffic(out):
    out("\n## Traffic of the tiles\n")
    out("| tile, work-item | products | FLOP a byte of memory, f32 weights | f16 | FLOP a byte of "
        "local memory |")
    out("| --- | --- | --- | --- | --- |")
    for row, rows in (("gpu-wave32", 128), ("gpu-wave32", 64), ("gpu-simd8", 64),
                      ("gpu-wave32", 32), ("gpu-wave32", 16)):
        for products in (1, 2):
            tile = tile_of(row, rows, products)
            if rows == 64 and row == "gpu-simd8" and products == 1:
                continue  # the same as the row before
            out(f"| {tile.rows} x {tile.cols}, {tile.item_rows} x {tile.item_cols} | {products} | "
                f"{memory_intensity(tile, products, 4):.1f} | "
                f"{memory_intensity(tile, products, 2):.1f} | "
                f"{local_intensity(tile, products):.2f} |")


def print_counts(out, facts):
    counts = facts[1]
    out("\n## Executed instructions\n")
    out("Lane-instructions a FLOP; a stream of plain fma alone has 0.50, of dual or packed ones "
        "0.25.\n")
    out("| program | case of the emulator | gfx1100 | gfx1200 | gfx942 |")
    out("| --- | --- | --- | --- | --- |")
    cases = [("product 128 x 64, 8 x 8", "pinned", "matmul_group", "whole tiles"),
             ("the same, gate, f16", "pinned", "matmul_group", "whole tiles, half gate"),
             ("product 64 x 64, 8 x 4", "simd8", "matmul_group", "whole tiles"),
             ("product 16 x 64, 4 x 4", "wave", "matmul_group", "whole tiles"),
             ("product 8 x 128 by sub-groups", "wave", "matmul_subgroup", "whole tiles"),
             ("product 8 x 64, gate, f16, by sub-groups", "wave", "matmul_subgroup",
              "whole tiles, half gate"),
             ("attention by work-groups", "wave", "attention_group", "text"),
             ("attention by sub-groups", "wave", "attention_subgroup", "text"),
             ("LayerNorm by work-groups", "wave", "layernorm_group", "picture, block"),
             ("LayerNorm by sub-groups", "wave", "layernorm_subgroup", "picture, block"),
             ("grouped convolution", "wave", "grouped_conv_tile", "wide groups")]
    for title, kind, variant, case in cases:
        cells = []
        for target, width in (("gfx1100", "32"), ("gfx1200", "32"), ("gfx942", "64")):
            name = kind if kind == "simd8" else kind + width
            cells.append(f"{counts[target, name, variant, case]:.2f}")
        out(f"| {title} | `{case}` | {' | '.join(cells)} |")
    out("\nOn gfx942 the sub-groups' tiles are twice as wide; of the whole tiles' 128 columns the first "
        "fill half a tile.")
    out("\nThe quoted peaks of the RX 7900 XTX and the MI300X count dual and packed instructions. "
        "Whole tiles\nof 128 x 64 leave, of these peaks:")
    for card in CARDS:
        if card.own:
            tile = tile_of(card.row, 128, 1)
            bound = 100 * issue_bound(card, facts, tile, 1)
            out(f"\n- {card.name}: {card.lanes} / ({card.flop} x "
                f"{count_of(card, facts, tile, 1):.2f}) = {bound:.0f} %")


def print_choice(out, programs):
    m, product = PICTURE[0], PRODUCTS[1]
    out("\n## Products by sub-groups or by work-groups on Intel\n")
    out(f"M = {m}, N = {product.n}, f32 weights, no gate. Mix: the part of the busiest loop's "
        "instructions that\nare fma, from `targets.txt`, both sides of branches counted, of which the "
        "work-groups' loop has\nmore. Rows: those that are computed. Far: FLOP for a byte of memory or "
        "of the cache that units share,\nif the near one serves a team of sub-groups but the first. "
        "Near: FLOP for a byte of local memory or\nof the near cache. Gain: ratio of mix / rows.\n")
    out("| target | work-groups: tile | mix | rows | far | near | sub-groups: tile | mix | rows | far | "
        "near | gain |")
    out("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for card in CARDS:
        if card.row not in ("gpu-simd8", "gpu-simd16"):
            continue
        group, sub = group_tile(card.row, m, product, card.reported), sub_group_tile(card.row, 1)
        team = sub._replace(rows=sub.rows * team_of(card.row))
        cells, value = [], []
        for variant, tile, far, near in (
                ("matmul_group", group, memory_intensity(group, 1, 4), local_intensity(group, 1)),
                ("matmul_subgroup", sub, memory_intensity(team, 1, 4),
                 memory_intensity(sub, 1, 4))):
            mix = 1 / mix_of(programs, card.arch, card.row, variant, tile, 1)
            rows = up(m, tile.rows) * tile.rows
            value.append(mix / rows)
            cells += [f"{tile.rows} x {tile.cols}", f"{100 * mix:.0f} %", str(rows), f"{far:.1f}",
                      f"{near:.1f}"]
        out(f"| {card.arch} | {' | '.join(cells)} | {value[1] / value[0]:.2f} |")
    out("\nMore of the instructions are fma, fewer bytes come from near, and no barrier is waited at: "
        "sub-groups are\nthe default there. On AMD the executed instructions (above) are level at best, "
        "so work-groups stay the\ndefault and `onepeace tune` tries the others.")


def print_products(out, facts):
    m = PICTURE[0]
    out(f"\n### The products of a picture, M = {m}, f32 weights\n")
    out("| card | (N, K) | tile | of the quoted peak | GFLOP/s |")
    out("| --- | --- | --- | --- | --- |")
    for card in CARDS:
        for p in PRODUCTS:
            least, most, tile = seconds(card, facts, m, p, 4)
            flop = 2 * p.products * m * p.n * p.k
            low, high = flop / most / 1e9, flop / least / 1e9
            pair = f"{p.n}{' twice' if p.products > 1 else ''}, {p.k}"
            out(f"| {card.name} | {pair} | {tile.rows} x {tile.cols} | "
                f"{between(low / card.peak / 10, high / card.peak / 10, '{:.0f}')} % | "
                f"{between(low, high, '{:,.0f}')} |")


def item_ms(card, facts, item):
    """A picture or sound: all its FLOP at the rate of the four products."""
    m, flop = item
    least, most, done = total(card, facts, m, 4)
    return between(1e3 * flop * least / done, 1e3 * flop * most / done, "{:,.1f}")


def print_items(out, facts):
    out("\n### One item at a time, f32 weights but where f16 is said\n")
    out("| card | picture, ms | 15 s sound, ms | 10-token text, ms | the same, f16 weights | "
        "weights / bandwidth: f32, f16 |")
    out("| --- | --- | --- | --- | --- | --- |")
    weights = LAYERS * sum(p.products * p.n * p.k for p in PRODUCTS)
    for card in CARDS:
        texts = []
        for size in (4, 2):
            least, most, _ = total(card, facts, TEXT, size)
            texts.append(between(1e3 * LAYERS * least, 1e3 * LAYERS * most, "{:,.1f}"))
        floor = [1e3 * weights * size / (card.gbps * 1e9) for size in (4, 2)]
        out(f"| {card.name} | {item_ms(card, facts, PICTURE)} | {item_ms(card, facts, SOUND)} | "
            f"{texts[0]} | {texts[1]} | {floor[0]:,.1f}, {floor[1]:,.1f} |")


def print_cards(out):
    out("\n## Cards\n")
    out("| card | target | counts of | lane-instructions, FLOP a clock and unit | units | quoted "
        "TFLOP/s | GB/s | source |")
    out("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for card in CARDS:
        intel = card.row in ("gpu-simd8", "gpu-simd16")
        whose = "its own" if card.own or intel else f"{card.counts}, borrowed"
        out(f"| {card.name} | {card.arch} | {whose} | {card.lanes}, {card.flop} | {card.units} | "
            f"{card.peak:g} | {card.gbps:,g} | {card.source} |")


MODEL = """# Predictions for GPUs, before any has run

No GPU has measured these kernels. `python3 bench/predict.py` printed this file; every number is
computed there from `results/targets.txt` (registers, local memory, Intel's instructions),
`results/emulate.txt` (executed instructions of AMD) and facts of devices, whose sources stand
beside them. Where one is a page that is not the maker's, or nothing, the table says so: check it
before you rely on it. The emulator ran no 128 x 64 tile of a gate with f32 weights.

## The model

- **Occupancy.** Resident waves of a unit (what shares local memory) = whole groups x waves of a
  group; groups = the least of wave slots / waves of a group, of the waves that the registers
  allow / waves of a group, of local memory / a group's, of the group slots. Registers are rounded
  up to their granule, local memory on Intel to the sizes that exist. Intel's threads own 128
  registers each, which limit nothing. Below 100 % of the wave slots another whole group does not
  fit. A wave is a wavefront, a warp or a hardware thread. The granule of local memory on AMD and
  NVIDIA, and scalar registers, are left out.
- **Traffic.** A tile of TM x TN (twice TN with a gate) reads TM + TN numbers for TM TN fma of a
  step: FLOP a byte of memory = 2 TM TN / (4 TM + s TN), s bytes a weight. A work-item's block
  reads local memory in the same way, broadcasts counted as reads.
- **Issue bound.** Part of the peak = lane-instructions that a unit issues in a clock / (executed
  lane-instructions a FLOP x FLOP in a clock of the quoted peak), at most 1. Scalar and memory
  instructions count like others, which is pessimistic where they have an issue port of their own.
  Three AMD targets are emulated. Intel's products take the mix of their loop, as compiled, both
  sides of branches counted and what is outside of it left out. Other cards borrow the counts of the
  nearest: from gfx1100 that is optimistic by the dual instructions in them, of which other devices
  need two, and their compilers differ. Treat borrowed figures as guesses.
- **Tile.** As `host/ops/matmul_variants.c` chooses it for the compute units that the driver
  reports; on Intel a sub-group's, which counts as a group, and eight of them read memory together.
  Counts exist for the classes' whole tiles and for 16 x 64; others take the nearest. A
  gate takes that of f16 weights.
- **Prediction** = min(issue bound x quoted peak, bandwidth x FLOP a byte), as a range. Its better
  end: rows padded to the tile, every operand read once. Its worse end: groups dealt to the units
  in whole rounds, and no cache: each tile reads its operands from memory.
- **An item**: all its FLOP (0.79 T a picture, 2.40 T a 15 s sound) at the rate of its four
  products, for 257 and 750 rows. A text of 10 tokens and its two marks: the products of 40 layers
  for 12 rows. With so few rows the weights' bytes / bandwidth is the floor.
- **Left out**: waits for memory and barriers, bank conflicts and the bandwidth of local memory,
  clocks that fall under load, launches, that attention and convolutions are less efficient than
  products. So the range is of bounds: a card below it shows waits; one above it shows that scalar
  and memory instructions cost less there than counted, or a wrong fact here.
"""

COMPARE = """
## How to compare

```sh
build/onepeace selftest                      # first: is it right there?
build/onepeace bench --synthetic full --json card.json
build/onepeace bench --synthetic full --kind image --json image.json   # if memory is short
```

| prediction | field of the report (`bench/README.md`) |
| --- | --- |
| quoted peak, bandwidth | `peaks.fma_f32_gflops`, `peaks.read_gbps`: if they differ, scale the prediction first |
| units, row | `environment.device.compute_units`, `environment.tuning[].row` |
| a product of a picture | `kernels[]` with `op` `matmul`, `kind` `image`, `batch` 1 and M = 257 in `shape`: `gflops`, `fraction_of_peak` |
| a picture, a sound, a text | `scenarios[]` with `scenario` `single_stream`, `scope` `encoder`, `batch` 1: `p50_s` (`input_size` 10 for the short text) |
| that nothing else counts | `kernels[].share`; `scenarios[].device_busy` |

`fraction_of_peak` there is of the measured peak, here of the quoted one. A file in
`bench/results/` of a run on a card is welcome, whatever it shows.
"""


def write_report(out):
    programs = read_programs()
    facts = programs, read_counts()
    out(MODEL.rstrip("\n"))
    print_traffic(out)
    print_counts(out, facts)
    print_choice(out, programs)
    out("\n## Occupancy, per target")
    for target in ARCHS:
        print_target(out, programs, target)
    out("\nA grouped convolution leaves its group's size to the driver: single waves are assumed. "
        "gfx1100, gfx1200, gfx942 and sm_90 are not among the compiled targets.")
    print_cards(out)
    out("\n## What the cards should reach")
    print_products(out, facts)
    print_items(out, facts)
    out(COMPARE.rstrip("\n"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true",
                        help="exit with 1 if bench/predictions.md is not what this prints")
    lines = []
    check = parser.parse_args().check
    write_report(lines.append)
    text = "\n".join(lines) + "\n"
    if not check:
        sys.stdout.write(text)
        return 0
    with open(os.path.join(HERE, "predictions.md"), encoding="utf-8") as file:
        if file.read() == text:
            return 0
    print("bench/predictions.md is not what bench/predict.py prints", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
