#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the synthetic test picture: make_scene.py OUT.png OUT.npy (256 x 256, RGB).

Sky, sun, hills, a house and rippled water: smooth and sharp parts, all colours, no photograph.
The side is the model's own, so no resize stands between the file and the pixels.
"""
import struct
import sys
import zlib

import numpy as np

SIDE = 256


def draw():
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    picture = np.empty((SIDE, SIDE, 3))
    picture[:] = np.stack([90 + 0.5 * y, 140 + 0.45 * y, 235 - 0.2 * y], -1)
    sun = np.hypot(x - 196, y - 48)
    picture += np.exp(-sun / 26)[..., None] * [150, 100, -60]
    picture[sun < 18] = [255, 238, 150]
    for base, height, wave, colour in [(128, 26, 38, (96, 120, 148)), (158, 18, 21, (58, 110, 66))]:
        ridge = base - height * np.sin(x / wave) - 0.4 * height * np.sin(x / wave * 2.7 + 1)
        shade = np.clip((y - ridge) / 60, 0, 1)[..., None]
        picture = np.where((y > ridge)[..., None], np.array(colour) * (1 - 0.4 * shade), picture)
    picture[130:178, 60:112] = [196, 84, 62]
    picture[148:178, 80:94] = [70, 44, 30]
    picture[140:152, 98:108] = picture[140:152, 64:74] = [240, 226, 140]
    roof = (y >= 104) & (y < 130) & (np.abs(x - 86) < (y - 102) * 1.25)
    picture[roof] = [120, 36, 40]
    depth = (y[196:] - 196) / (SIDE - 196)
    ripple = np.sin(y[196:] * 1.9 + 2.5 * np.sin(x[196:] / 9)) * (8 + 26 * depth)
    water = picture[391 - np.arange(196, SIDE)] * 0.6 + np.array([14, 34, 60])
    picture[196:] = water + ripple[..., None] * [0.7, 0.9, 1.0]
    return picture.clip(0, 255).round().astype(np.uint8)


def png(pixels):
    def chunk(tag, data):
        body = tag + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


if __name__ == "__main__":
    scene = draw()
    with open(sys.argv[1], "wb") as out:
        out.write(png(scene))
    np.save(sys.argv[2], scene)
