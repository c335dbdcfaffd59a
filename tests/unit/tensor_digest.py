#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints a digest of the tensors in checkpoints, made with Python's own pickle and zipfile modules.

It shares nothing with the library's readers: the digests in test_model_file.c come from here.
Usage: tensor_digest.py FILE...
"""
import collections
import hashlib
import io
import pickle
import sys
import zipfile

TYPES = {"FloatStorage": ("f32", 4), "HalfStorage": ("f16", 2), "BFloat16Storage": ("bf16", 2),
         "LongStorage": ("i64", 8)}


class Name:
    """A class or function that is named in a pickle; only its name matters."""

    def __init__(self, name):
        self.name = name


class Storage:
    def __init__(self, kind, key):
        self.kind, self.key, self.data = kind, key, None


class Tensor:
    def __init__(self, storage, offset, size, stride, *_):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def raw(self):
        width = TYPES[self.storage.kind][1]
        places = [self.offset]
        for size, stride in zip(self.size, self.stride):
            places = [p + i * stride for p in places for i in range(size)]
        return b"".join(self.storage.data[p * width:(p + 1) * width] for p in places)


class Reader(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        known = {"OrderedDict": collections.OrderedDict, "_rebuild_tensor_v2": Tensor,
                 "_load_from_bytes": lambda data: legacy(io.BytesIO(data))}
        return known.get(name) or Name(name)

    def persistent_load(self, pid):
        return self.storages.setdefault(pid[2], Storage(pid[1].name, pid[2]))


def legacy(file):
    for _ in range(3):
        pickle.load(file)
    reader = Reader(file)
    root = reader.load()
    for key in pickle.load(file):
        storage = reader.storages[key]
        count = int.from_bytes(file.read(8), "little")
        storage.data = file.read(count * TYPES[storage.kind][1])
    return root


def zipped(path):
    archive = zipfile.ZipFile(path)
    name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
    reader = Reader(io.BytesIO(archive.read(name)))
    root = reader.load()
    for key, storage in reader.storages.items():
        storage.data = archive.read(name[:-len("data.pkl")] + "data/" + key)
    return root


def load(path):
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(0)
        if start[:2] == b"PK":
            return zipped(path)
        return legacy(file) if start[2:] == b"\x8a\x0a" else Reader(file).load()


def main():
    for path in sys.argv[1:]:
        digest = hashlib.sha256()
        model = load(path)["model"]
        for name in sorted(model):
            tensor = model[name]
            shape = ",".join(str(n) for n in tensor.size)
            data = hashlib.sha256(tensor.raw()).hexdigest()
            digest.update(f"{name} {TYPES[tensor.storage.kind][0]} {shape} {data}\n".encode())
        print(path, len(model), digest.hexdigest())


main()
