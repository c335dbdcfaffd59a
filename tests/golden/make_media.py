#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the synthetic test media: make_media.py SCENE.png SCENE.npy CHIRPS.wav

The picture (256 x 256, RGB) has sky, sun, hills, a house and rippled water: smooth and sharp parts,
all colours, no photograph. The sound (1.25 s, 16 kHz, 16 bits) has three rising notes with overtones
over faint noise. Both have the model's own size and rate, so no resampling stands between the files
and the model.
"""
import struct
import sys
import wave
import zlib

import numpy as np

SIDE = 256
RATE = 16000


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


def chirps():
    t = np.arange(RATE * 5 // 4) / RATE
    sound = 0.004 * np.random.default_rng(1).standard_normal(len(t))
    for begin, low, high in [(0.05, 400, 900), (0.4, 700, 1500), (0.8, 250, 2600)]:
        local = np.clip(t - begin, 0, 0.35)
        phase = 2 * np.pi * (low * local + (high - low) * local ** 2 / 0.7)
        envelope = np.sin(np.pi * local / 0.35) ** 2
        for overtone in (1, 2, 3):
            sound += 0.25 / overtone ** 2 * envelope * np.sin(overtone * phase)
    return (sound.clip(-1, 1) * 32767).round().astype("<i2")


def write_wav(path, samples):
    with wave.open(path, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())


if __name__ == "__main__":
    scene = draw()
    with open(sys.argv[1], "wb") as out:
        out.write(png(scene))
    np.save(sys.argv[2], scene)
    write_wav(sys.argv[3], chirps())
