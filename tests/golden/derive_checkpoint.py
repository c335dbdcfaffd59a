#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes another form of a torch zip checkpoint, without torch, so that one stored file can stand
for several: derive_checkpoint.py IN.pt OUT [options]

    --dtype TYPE    f16 or bf16: floating-point tensors rounded to it, as torch rounds
    --legacy        the pre-1.6 container: five pickles, then the storages
    --zip64         a zip whose local headers carry zip64 sizes, under another folder name
    --drop REGEX    leave out the tensors whose name matches (branch-only files)
    --extras        add decoder and mask tensors, as a pretraining checkpoint has
    --name NAME     set cfg.model._name
    --head TYPE     set cfg.task.head_type
"""
import argparse
import collections
import io
import pickle
import re
import struct
import sys
import types
import zipfile

SIZES = {"FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8}


class Storage:
    def __init__(self, kind, key, count, data):
        self.kind, self.key, self.count, self.data = kind, key, count, data


class Tensor:
    def __init__(self, *args):
        self.args = args

    def __reduce__(self):
        return rebuild, self.args


def rebuild(*args):
    return Tensor(*args)


def fake_torch():
    """Modules under torch's names, so that pickle writes the same global names as torch does."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    sys.modules.update({"torch": torch, "torch._utils": utils})
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    for name in SIZES:
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    return torch


def load(path):
    archive = zipfile.ZipFile(path)
    entry = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
    prefix, storages = entry[:-len("data.pkl")], {}

    class Reader(pickle.Unpickler):
        def persistent_load(self, pid):
            _, kind, key, _, count = pid
            if key not in storages:
                storages[key] = Storage(kind, key, count, archive.read(f"{prefix}data/{key}"))
            return storages[key]

    return Reader(archive.open(entry)).load()


def dump(obj, stream, storages, legacy):
    class Writer(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, Storage):
                return None
            storages[item.key] = item
            pid = ("storage", item.kind, item.key, "cpu", item.count)
            return pid + (None,) if legacy else pid

    Writer(stream, protocol=2).dump(obj)


def write_legacy(obj, path):
    storages, body = {}, io.BytesIO()
    sizes = {"short": 2, "int": 4, "long": 4}
    dump(obj, body, storages, True)
    with open(path, "wb") as out:
        for head in (0x1950a86a20f9469cfc6c, 1001,
                     {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}):
            pickle.dump(head, out, protocol=2)
        out.write(body.getvalue())
        keys = sorted(storages)
        pickle.dump(keys, out, protocol=2)
        for key in keys:
            out.write(struct.pack("<q", storages[key].count) + storages[key].data)


def write_zip(obj, path, zip64):
    storages, body = {}, io.BytesIO()
    dump(obj, body, storages, False)
    entries = {"data.pkl": body.getvalue(), "version": b"3\n"}
    entries.update({f"data/{key}": s.data for key, s in storages.items()})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        for name, data in entries.items():
            info = zipfile.ZipInfo(("renamed/" if zip64 else "archive/") + name)
            with out.open(info, "w", force_zip64=zip64) as entry:
                entry.write(data)


def to_half(floats):
    """Nearest, ties to even, as torch: struct does it."""
    return struct.pack(f"<{len(floats) // 4}e", *struct.unpack(f"<{len(floats) // 4}f", floats))


def to_bfloat16(floats):
    bits = struct.unpack(f"<{len(floats) // 4}I", floats)
    return struct.pack(f"<{len(bits)}H", *((b + 0x7fff + (b >> 16 & 1)) >> 16 for b in bits))


def round_storages(model, name):
    kind, convert = {"f16": ("HalfStorage", to_half), "bf16": ("BFloat16Storage", to_bfloat16)}[name]
    for storage in {id(t.args[0]): t.args[0] for t in model.values()}.values():
        if storage.kind.__name__ == "FloatStorage":
            storage.kind, storage.data = getattr(sys.modules["torch"], kind), convert(storage.data)


def add_extras(model, torch):
    for name in ("decoder_wrapper.text_adapter.cls_embedding", "text_mask_token",
                 "image_mask_head.weight", "decoder_audio_embed.weight"):
        data = struct.pack("<12f", *range(12))
        storage = Storage(torch.FloatStorage, f"9{len(model):05d}", 12, data)
        model[name] = Tensor(storage, 0, (3, 4), (4, 1), False, collections.OrderedDict())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--dtype", choices=("f16", "bf16"))
    parser.add_argument("--legacy", action="store_true")
    parser.add_argument("--zip64", action="store_true")
    parser.add_argument("--extras", action="store_true")
    parser.add_argument("--drop")
    parser.add_argument("--name")
    parser.add_argument("--head")
    args = parser.parse_args()
    torch = fake_torch()
    checkpoint = load(args.input)
    model = checkpoint["model"]
    for name in [n for n in model if args.drop and re.search(args.drop, n)]:
        del model[name]
    if args.dtype:
        round_storages(model, args.dtype)
    if args.extras:
        add_extras(model, torch)
    if args.name:
        checkpoint["cfg"]["model"]["_name"] = args.name
    if args.head:
        checkpoint["cfg"]["task"]["head_type"] = args.head
    if args.legacy:
        write_legacy(checkpoint, args.output)
    else:
        write_zip(checkpoint, args.output, args.zip64)


if __name__ == "__main__":
    main()
