#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Image goldens by an independent implementation: float64 numpy, no torch, none of our C code.

The image branch's upstream goldens depend on photographs that this repository does not carry, so
the stages and embeddings of two synthetic pictures are computed here instead, from the formulas of
the ONE-PEACE paper's reference code.

    make_image_golden.py CHECKPOINT U8.npy... --out PREFIX     write PREFIX_<stage>.npy
    make_image_golden.py CHECKPOINT --check FOLDER             compare with upstream's image goldens

U8.npy is a resized picture, uint8 [side, side, 3]. Stages are written for the first picture only,
`emb` for all of them. --emb-only leaves the stages out.
"""
import argparse
import json
import math
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])
DTYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "<u2",
          "LongStorage": "<i8"}
SAFE_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8"}


# --- Reading weights -------------------------------------------------------------------------

def widen(raw, bf16):
    """Exact widening to float64; bf16 arrives as its 16 bits."""
    if bf16:
        bits = np.atleast_1d(raw).astype(np.uint32) << 16
        return bits.view(np.float32).astype(np.float64).reshape(raw.shape)
    return raw.astype(np.float64)


class TorchZip(pickle.Unpickler):
    """data.pkl of a torch zip file, with inert stand-ins for everything but tensors."""

    def __init__(self, path):
        self.zip = zipfile.ZipFile(path)
        entry = next(n for n in self.zip.namelist() if n.endswith("/data.pkl"))
        self.prefix = entry[:-len("data.pkl")]
        super().__init__(self.zip.open(entry), encoding="utf-8")

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.rebuild
        if module == "collections" and name == "OrderedDict":
            return type("Dict", (dict,), {"__setstate__": lambda self, state: None})
        return type(name, (), {"__module__": module, "__init__": lambda self, *a: None})

    def persistent_load(self, pid):
        _, kind, key, _, _ = pid
        data = self.zip.read(f"{self.prefix}data/{key}")
        return kind.__name__, np.frombuffer(data, DTYPES[kind.__name__])

    @staticmethod
    def rebuild(storage, offset, size, stride, *_):
        kind, flat = storage
        item = flat.itemsize
        view = np.lib.stride_tricks.as_strided(flat[offset:], size, [s * item for s in stride])
        return widen(view, kind == "BFloat16Storage")


def read_safetensors(path):
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    out = {}
    for name, t in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + o for o in t["data_offsets"])
            raw = np.frombuffer(data[begin:end], SAFE_DTYPES[t["dtype"]]).reshape(t["shape"])
            out[name] = widen(raw, t["dtype"] == "BF16")
    return out


def read_weights(path):
    if zipfile.is_zipfile(path):
        return TorchZip(path).load()["model"]
    return read_safetensors(path)


# --- The model -------------------------------------------------------------------------------

erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x):
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def layer_norm(x, w, name):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * w[name + ".weight"] + w[name + ".bias"]


def linear(x, w, name):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def patch_conv(x, w, name):
    """Convolution with kernel = stride on [H, W, C]."""
    weight = w[name + ".weight"]
    k = weight.shape[-1]
    h, wd, c = x.shape
    blocks = x.reshape(h // k, k, wd // k, k, c).transpose(0, 2, 4, 1, 3)
    return np.einsum("hwcyx,ocyx->hwo", blocks, weight) + w[name + ".bias"]


def bicubic_weights(old, new):
    """[new, old] interpolation matrix: a = -0.75, half-pixel centres, border clamp, no antialias."""
    a, out = -0.75, np.zeros((new, old))
    for o in range(new):
        centre = (o + 0.5) * old / new - 0.5
        base = math.floor(centre)
        for tap in range(base - 1, base + 3):
            d = abs(centre - tap)
            near = (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
            far = a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a
            out[o, min(max(tap, 0), old - 1)] += near if d <= 1 else far if d < 2 else 0.0
    return out


def positions(w, side):
    table = w["encoder_wrapper.image_adapter.pos_embed"]
    grid = math.isqrt(len(table) - 1)
    if grid == side:
        return table
    m = bicubic_weights(grid, side)
    cells = np.einsum("yg,xh,ghd->yxd", m, m, table[1:].reshape(grid, grid, -1))
    return np.concatenate([table[:1], cells.reshape(side * side, -1)])


def adapter(pixels, w):
    a = "encoder_wrapper.image_adapter."
    x = patch_conv(pixels, w, a + "embed_images.0")
    x = gelu(layer_norm(x, w, a + "embed_images.1.layer_norm"))
    x = patch_conv(x, w, a + "embed_images.3")
    x = gelu(layer_norm(x, w, a + "embed_images.4.layer_norm"))
    x = patch_conv(x, w, a + "embed_images.6")
    side, dim = x.shape[0], x.shape[2]
    cls = w[a + "cls_embedding"].reshape(1, dim)
    return np.concatenate([cls, x.reshape(-1, dim)]) + positions(w, side)


def relative_bias(w, layer):
    """[H, T, T] bias of one layer: its own table if there is one, else table 0."""
    name = "encoder_wrapper.image_adapter.rel_pos_table_list.%d.weight"
    table = w.get(name % layer, w[name % 0])
    n = len(table)
    side = (math.isqrt(n - 3) + 1) // 2
    y, x = np.divmod(np.arange(side * side), side)
    bucket = np.zeros((side * side + 1,) * 2, int)
    bucket[1:, 1:] = ((y[:, None] - y + side - 1) * (2 * side - 1)
                      + x[:, None] - x + side - 1)
    bucket[0, :], bucket[:, 0], bucket[0, 0] = n - 3, n - 2, n - 1
    return table[bucket].transpose(2, 0, 1)


def block(x, w, layer):
    p = f"encoder_wrapper.fusion_model.layers.{layer}."
    bias = relative_bias(w, layer)
    heads, (t, dim) = len(bias), x.shape
    split = lambda v: v.reshape(t, heads, dim // heads).transpose(1, 0, 2)
    u = layer_norm(x, w, p + "self_attn_layer_norm")
    q = split(linear(u, w, p + "self_attn.q_proj") * (dim // heads) ** -0.5)
    k, v = (split(linear(u, w, p + f"self_attn.{n}_proj")) for n in "kv")
    score = q @ k.transpose(0, 2, 1) + bias
    prob = np.exp(score - score.max(-1, keepdims=True))
    prob /= prob.sum(-1, keepdims=True)
    z = (prob @ v).transpose(1, 0, 2).reshape(t, dim)
    z = linear(layer_norm(z, w, p + "self_attn.ln"), w, p + "self_attn.out_proj")
    x = x + w[p + "gamma_1"] * z
    u = layer_norm(x, w, p + "final_layer_norm")
    g = gelu(linear(u, w, p + "image_ffn.0.wi_0")) * linear(u, w, p + "image_ffn.0.wi_1")
    y = linear(layer_norm(g, w, p + "image_ffn.2"), w, p + "image_ffn.3")
    return x + w[p + "gamma_2"] * y


def stages(pixels, w):
    """All named stages of one picture; pixels [side, side, 3], normalised."""
    out = {"adapter_out": adapter(pixels, w)}
    x, layer = out["adapter_out"], 0
    while f"encoder_wrapper.fusion_model.layers.{layer}.gamma_1" in w:
        x = out[f"layer{layer}"] = block(x, w, layer)
        layer += 1
    out["final"] = layer_norm(x, w, "encoder_wrapper.fusion_model.image_layer_norm")
    out["proj"] = linear(out["final"][0], w, "image_proj")
    out["emb"] = out["proj"] / max(np.linalg.norm(out["proj"]), 1e-12)
    return out


# --- The command -----------------------------------------------------------------------------

def check(w, folder):
    source = np.load(folder / "src_images.npy")
    results = [stages(p.transpose(1, 2, 0).astype(np.float64), w) for p in source]
    worst = 0.0
    for name in results[0]:
        path = folder / f"{name}.npy"
        if path.exists():
            error = np.abs(np.stack([r[name] for r in results]) - np.load(path)).max()
            print(f"{name:12s} {error:.2e}")
            worst = error if name == "emb" else worst
    return 0 if worst < 5e-7 else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--out")
    parser.add_argument("--emb-only", action="store_true")
    parser.add_argument("--check", type=Path)
    args = parser.parse_args()
    w = read_weights(args.checkpoint)
    if args.check:
        return check(w, args.check)
    pictures = [(np.load(p) / 255.0 - MEAN) / STD for p in args.pictures]
    results = [stages(p, w) for p in pictures]
    for name in ["emb"] if args.emb_only else results[0]:
        kept = results if name == "emb" else results[:1]
        np.save(f"{args.out}_{name}.npy", np.stack([r[name] for r in kept]).astype(np.float32))
    return 0


if __name__ == "__main__":
    sys.exit(main())
