#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goldens by an independent implementation: float64 numpy, no torch, none of our C code.

Used where upstream's goldens cannot serve: its image goldens depend on photographs that this
repository does not carry, and it never ran models of other sizes.

    make_golden.py MODEL --out PREFIX [--emb-only] [--text IDS.npy] [--image U8.npy...]
                   [--audio SOUND.wav...]       write PREFIX<modality>_<stage>.npy
    make_golden.py MODEL --check FOLDER         compare with upstream's goldens, micro/golden

IDS.npy is int64 [B, T], padded with 1; U8.npy a resized picture, uint8 [side, side, 3]; SOUND.wav is
16-bit mono at 16 kHz, between 1 and 15 s. Stages are written for the first item of each modality,
`emb` for all of them, each item computed alone.
"""
import argparse
import json
import math
import pickle
import re
import sys
import wave
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


def wave_spec(text):
    """(kernel, stride) of each convolution of "[(32, 10, 5)] + [(32, 3, 2)] * 4"."""
    spec = []
    for body, times in re.findall(r"\[([^\]]*)\](?:\s*\*\s*(\d+))?", text):
        triples = re.findall(r"\(\s*\d+\s*,\s*(\d+)\s*,\s*(\d+)\s*\)", body)
        spec += [(int(kernel), int(stride)) for kernel, stride in triples] * int(times or 1)
    return spec


def read_safetensors(path):
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    encoder = json.loads(header["__metadata__"]["onepeace.config"])["model"]["encoder"]
    out = {"spec": wave_spec(encoder["audio_adapter"]["feature_encoder_spec"])}
    for name, t in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + o for o in t["data_offsets"])
            raw = np.frombuffer(data[begin:end], SAFE_DTYPES[t["dtype"]]).reshape(t["shape"])
            out[name] = widen(raw, t["dtype"] == "BF16")
    return out


def read_weights(path):
    if not zipfile.is_zipfile(path):
        return read_safetensors(path)
    checkpoint = TorchZip(path).load()
    encoder = checkpoint["cfg"]["model"]["encoder"]
    return {**checkpoint["model"],
            "spec": wave_spec(encoder["audio_adapter"]["feature_encoder_spec"])}


# --- The model -------------------------------------------------------------------------------
# w holds the weights by name; w["spec"] the (kernel, stride) of the wave convolutions.

erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x):
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def normalise(x):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5)


def layer_norm(x, w, name):
    return normalise(x) * w[name + ".weight"] + w[name + ".bias"]


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


def image_adapter(pixels, w):
    a = "encoder_wrapper.image_adapter."
    x = patch_conv(pixels, w, a + "embed_images.0")
    x = gelu(layer_norm(x, w, a + "embed_images.1.layer_norm"))
    x = patch_conv(x, w, a + "embed_images.3")
    x = gelu(layer_norm(x, w, a + "embed_images.4.layer_norm"))
    x = patch_conv(x, w, a + "embed_images.6")
    side, dim = x.shape[0], x.shape[2]
    cls = w[a + "cls_embedding"].reshape(1, dim)
    return np.concatenate([cls, x.reshape(-1, dim)]) + positions(w, side)


def text_adapter(ids, w):
    a = "encoder_wrapper.text_adapter."
    cls = w[a + "cls_embedding"].reshape(1, -1)
    x = np.concatenate([cls, w[a + "embed_tokens.weight"][ids]])
    return x + w[a + "embed_positions.weight"][:len(x)]


def conv1d(x, weight, stride=1, pad=0, groups=1):
    """x [T, in] -> [T', out]; weight [out, in / groups, kernel]."""
    out, per_group, kernel = weight.shape
    x = np.pad(x, ((pad, pad), (0, 0)))
    frames = (len(x) - kernel) // stride + 1
    index = np.arange(frames)[:, None] * stride + np.arange(kernel)
    windows = x[index].reshape(frames, kernel, groups, per_group)
    weight = weight.reshape(groups, out // groups, per_group, kernel)
    return np.einsum("tkgc,gock->tgo", windows, weight).reshape(frames, out)


def audio_adapter(samples, w):
    a = "encoder_wrapper.audio_adapter."
    x = samples[:, None]
    for j, (_, stride) in enumerate(w["spec"]):
        p = a + f"embed_audios.0.conv_layers.{j}."
        x = gelu(layer_norm(conv1d(x, w[p + "0.weight"], stride), w, p + "2.1"))
    h = feat = linear(layer_norm(x, w, a + "embed_audios.2"), w, a + "embed_audios.3")
    layer, dim = 1, feat.shape[1]
    while a + f"embed_positions.{layer}.0.weight" in w:
        p = a + f"embed_positions.{layer}.0"
        weight = w[p + ".weight"]
        y = conv1d(h, weight, pad=weight.shape[2] // 2, groups=dim // weight.shape[1])[:len(h)]
        h, layer = gelu(normalise(y + w[p + ".bias"])), layer + 1
    cls = (w[a + "cls_embedding"] + w[a + "cls_pos_embed"]).reshape(1, dim)
    return np.concatenate([cls, feat + h])


def image_buckets(rows, _):
    side = (math.isqrt(rows - 3) + 1) // 2
    y, x = np.divmod(np.arange(side * side), side)
    bucket = np.zeros((side * side + 1,) * 2, int)
    bucket[1:, 1:] = ((y[:, None] - y + side - 1) * (2 * side - 1)
                      + x[:, None] - x + side - 1)
    bucket[0, :], bucket[:, 0], bucket[0, 0] = rows - 3, rows - 2, rows - 1
    return bucket


def sequence_buckets(rows, positions_):
    b = (rows - 2) // 2
    m = b // 2
    r = np.arange(positions_)[:, None] - np.arange(positions_)
    far = np.maximum(np.abs(r), m)
    steps = np.ceil(np.log(far / m) / math.log(1023 / m) * (m - 1))
    bucket = np.where(np.abs(r) <= m, r, np.sign(r) * (m + steps)).astype(int) + b - 1
    bucket[0, :], bucket[:, 0], bucket[0, 0] = 2 * b - 1, 2 * b, 2 * b + 1
    return bucket


def relative_bias(w, modality, layer, count):
    """[H, T, T] bias of one layer: its own table if there is one, else table 0."""
    name = f"encoder_wrapper.{modality}_adapter.rel_pos_table_list.%d.weight"
    table = w.get(name % layer, w[name % 0])
    buckets = image_buckets if modality == "image" else sequence_buckets
    return table[buckets(len(table), count)].transpose(2, 0, 1)


def block(x, w, modality, layer):
    p = f"encoder_wrapper.fusion_model.layers.{layer}."
    bias = relative_bias(w, modality, layer, len(x))
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
    f = p + f"{modality}_ffn."
    g = gelu(linear(u, w, f + "0.wi_0")) * linear(u, w, f + "0.wi_1")
    return x + w[p + "gamma_2"] * linear(layer_norm(g, w, f + "2"), w, f + "3")


ADAPTERS = {"text": text_adapter, "image": image_adapter, "audio": audio_adapter}


def stages(item, w, modality):
    """All named stages of one item."""
    out = {"adapter_out": ADAPTERS[modality](item, w)}
    x, layer = out["adapter_out"], 0
    while f"encoder_wrapper.fusion_model.layers.{layer}.gamma_1" in w:
        x = out[f"layer{layer}"] = block(x, w, modality, layer)
        layer += 1
    out["final"] = layer_norm(x, w, f"encoder_wrapper.fusion_model.{modality}_layer_norm")
    out["proj"] = linear(out["final"][0], w, f"{modality}_proj")
    out["emb"] = out["proj"] / max(np.linalg.norm(out["proj"]), 1e-12)
    return out


# --- The command -----------------------------------------------------------------------------

def text_items(path):
    return [row[:len(row) - np.argmax(row[::-1] != 1)] for row in np.load(path)]


def image_items(paths):
    return [(np.load(path) / 255.0 - MEAN) / STD for path in paths]


def audio_items(paths):
    items = []
    for path in paths:
        with wave.open(path) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0
        items.append((samples - samples.mean()) / np.sqrt(samples.var() + 1e-5))
    return items


def check(w, folder):
    """Embeddings of all modalities against upstream's; the worst must be below 5e-7."""
    pixels = np.load(folder / "image/src_images.npy").transpose(0, 2, 3, 1)
    waves = np.load(folder / "audio/src_audios.npy")
    items = {"text": text_items(folder / "text/src_tokens.npy"),
             "image": list(pixels.astype(np.float64)),
             "audio": [np.trim_zeros(v, "b").astype(np.float64) for v in waves]}
    worst = 0.0
    for modality, array in [("text", "emb"), ("image", "emb"), ("audio", "emb_single")]:
        results = np.stack([stages(i, w, modality)["emb"] for i in items[modality]])
        error = np.abs(results - np.load(folder / modality / f"{array}.npy")).max()
        print(f"{modality:6s} {error:.2e}")
        worst = max(worst, error)
    return 0 if worst < 5e-7 else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--text")
    parser.add_argument("--image", nargs="+", default=[])
    parser.add_argument("--audio", nargs="+", default=[])
    parser.add_argument("--out", default="")
    parser.add_argument("--emb-only", action="store_true")
    parser.add_argument("--check", type=Path)
    args = parser.parse_args()
    w = read_weights(args.model)
    if args.check:
        return check(w, args.check)
    items = {"text": text_items(args.text) if args.text else [],
             "image": image_items(args.image), "audio": audio_items(args.audio)}
    for modality in [m for m in items if items[m]]:
        results = [stages(item, w, modality) for item in items[modality]]
        for name in ["emb"] if args.emb_only else results[0]:
            kept = results if name == "emb" else results[:1]
            np.save(f"{args.out}{modality}_{name}.npy",
                    np.stack([r[name] for r in kept]).astype(np.float32))
    return 0


if __name__ == "__main__":
    sys.exit(main())
