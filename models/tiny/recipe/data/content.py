# SPDX-License-Identifier: Apache-2.0
"""Hashes of what a file decodes to, so that a rebuild with another encoder can be judged.

A picture's hash covers its mode, size and pixels, where wholly transparent pixels count as black
(WebP encoders choose their colour). A sound's covers its samples as little-endian 16 bit. Both are
the first 32 hexadecimal digits of a SHA-256, as in the column `content` of the tables, where a
sound's is that of the recipe's own, undithered samples (see verify.py).
"""
import hashlib

from common import Problem, Unreadable, run_tool

DIGITS = 32


def picture_hash(path):
    """The content hash of a picture."""
    try:
        import numpy
        from PIL import Image
    except ImportError as error:
        raise Problem(f"{path}: numpy and Pillow are needed to compare pictures") from error
    try:
        with Image.open(path) as picture:
            pixels = numpy.array(picture)
            head = f"{picture.mode} {picture.width}x{picture.height}\n"
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: not readable as a picture: {error}") from error
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels[pixels[..., 3] == 0] = 0
    return hashlib.sha256(head.encode() + pixels.tobytes()).hexdigest()[:DIGITS]


def sound_hash(path):
    """The content hash of a FLAC file."""
    command = ["flac", "--decode", "--silent", "--stdout", "--force-raw-format", "--endian=little",
               "--sign=signed", str(path)]
    return hashlib.sha256(run_tool(command, path, "flac")).hexdigest()[:DIGITS]


def content_hash(path):
    """The content hash of a picture or sound, by the end of its name."""
    return sound_hash(path) if str(path).endswith(".flac") else picture_hash(path)
