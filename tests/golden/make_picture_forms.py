#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small PNG and BMP files of every form that is read, with Pillow 9.4.0's answer as .npy.

    tests/golden/make_picture_forms.py tests/data/golden/own/forms
"""
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image

W, H = 13, 5
random = np.random.RandomState(1)
folder = sys.argv[1]


def save(name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    np.save(os.path.splitext(path)[0] + ".npy", np.asarray(Image.open(path).convert("RGB")))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(name, depth, color, channels, extra=b""):
    row = (W * depth * channels + 7) // 8
    raw = b"".join(bytes([random.randint(0, 5)]) + random.bytes(row) for _ in range(H))
    header = struct.pack(">IIBBBBB", W, H, depth, color, 0, 0, 0)
    save(name + ".png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
         + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def bmp(name, bits, height=H, compression=0, colors=0, palette=b"", masks=b"", size=40, offset=None):
    pixels = random.bytes((W * bits + 31) // 32 * 4 * H)
    if size == 12:
        header = struct.pack("<IHHHH", 12, W, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", size, W, height, 1, bits, compression, 0, 0, 0, colors, 0)
        header += masks if size == 40 else (masks + bytes(84))[:size - 40]
    start = 14 + len(header) + len(palette) if offset is None else offset
    save(name + ".bmp", b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + header + palette + pixels)


for bits in (1, 2, 4, 8, 16):
    png(f"png_gray{bits}", bits, 0, 1, chunk(b"tRNS", b"\0\1"))
for bits in (8, 16):
    png(f"png_gray_alpha{bits}", bits, 4, 2)
    png(f"png_rgb{bits}", bits, 2, 3, chunk(b"gAMA", b"\0\0\xb1\x8f") + chunk(b"sBIT", b"\5\5\5"))
    png(f"png_rgba{bits}", bits, 6, 4)
for bits, colors in ((1, 1), (2, 3), (4, 7), (8, 100), (8, 256)):  # indices beyond the palette too
    png(f"png_palette{bits}_{colors}", bits, 3, 1, chunk(b"PLTE", random.bytes(3 * colors)))
for bits in (1, 4, 8):
    bmp(f"bmp_palette{bits}", bits, palette=random.bytes(4 << bits))
    bmp(f"bmp_os2_palette{bits}", bits, palette=random.bytes(3 << bits), size=12)
bmp("bmp_top_down", 8, height=-H, palette=random.bytes(1024))
bmp("bmp_short_palette", 8, colors=100, palette=random.bytes(400))
for bits in (16, 24, 32):
    bmp(f"bmp_{bits}", bits)
    bmp(f"bmp_v5_{bits}", bits, size=124)
bmp("bmp_no_offset", 24, offset=0)
bmp("bmp_565", 16, compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
bmp("bmp_555", 16, compression=3, masks=struct.pack("<III", 0x7C00, 0x3E0, 0x1F))
bmp("bmp_bgrx", 32, compression=3, masks=struct.pack("<III", 0xFF0000, 0xFF00, 0xFF))
bmp("bmp_xbgr", 32, compression=3, masks=struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00))
bmp("bmp_rgba", 32, compression=3, size=108,
    masks=struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000))
