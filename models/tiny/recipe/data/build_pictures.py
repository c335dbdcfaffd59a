#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures and backgrounds of pictures.tsv from the fetched packages.

usage: build_pictures.py downloads=DIR out=DIR [packages=NAME,NAME...]
  downloads  the folder that fetch.py filled
  out        pictures go to out/images and out/backgrounds; same names are replaced
  packages   only pictures of these; otherwise of all that are there

A drawing becomes lossless WebP, 112 x 112 RGBA: trimmed to what is visible, fitted with a margin of
2, its alpha premultiplied while it is resized. White around an opaque drawing becomes transparent.
A photograph is cropped to its middle square. A background is the square x,y,side of the column
crop, as JPEG. Which drawing stands for which concept was chosen by label (the emoji labels of
concepts.tsv, Open Clip Art's titles) and looked at; pictures.tsv is the result. Needs numpy, Pillow
and rsvg-convert. The pinned bytes come from Debian 12: librsvg 2.54.7, Pillow 9.4.0, libwebp 1.2.4,
libjpeg-turbo 2.1.5; a newer librsvg may draw other pixels.
"""
import io
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from common import (PICTURE_SIDE, Problem, fetched_packages, files_folder, options, read_items,
                    read_sources, run_main, run_tool)

MARGIN = 2
VISIBLE = 16        # alpha above which a pixel counts as drawn
NEARLY_WHITE = 247  # the least channel of a pixel that counts as paper
INK = "#222"        # the colour of drawings that leave theirs to the page
JPEG_QUALITY = 93


# --- Reading ---------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def read_icons(path):
    """An icon set: {"icons": {name: {"body": ...}}, "width": ..., ...}"""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Problem(f"{path}: not readable as an icon set: {error}") from error


def icon_svg(path, name):
    """One icon of a set as an SVG document."""
    icons = read_icons(path)
    icon = icons["icons"].get(name)
    if icon is None:
        raise Problem(f"{path}: no icon '{name}'")
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    return ('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">'
            f'{icon["body"].replace("currentColor", INK)}</svg>').encode()


def rasterize(svg, what):
    """An SVG, as bytes or as the path of a file, drawn at twice the final size."""
    side = str(2 * PICTURE_SIDE)
    command = ["rsvg-convert", "-w", side, "-h", side, "-a"]
    data = svg if isinstance(svg, bytes) else None
    if data is None:
        command.append(str(svg))
    return Image.open(io.BytesIO(run_tool(command, what, "librsvg2-bin", data)))


def open_source(folder, path):
    """The picture that a row's `path` names: an icon of a set, an SVG file, or a bitmap."""
    file, _, icon = path.partition("#")
    if icon:
        return rasterize(icon_svg(folder / file, icon), path)
    if file.endswith(".svg"):
        return rasterize(folder / file, path)
    return Image.open(folder / file)


# --- Shaping ---------------------------------------------------------------------------------


def paper(pixels):
    """Where nearly white pixels hang together with the border: (H, W) of bool."""
    white = pixels[..., :3].min(axis=-1) >= NEARLY_WHITE
    reached = np.zeros_like(white)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        reached[edge] = white[edge]
    while True:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= white
        if (grown == reached).all():
            return reached
        reached = grown


def resize_plane(plane, size, smaller):
    """One plane of floats in another size."""
    method = Image.LANCZOS if smaller else Image.BICUBIC
    return np.array(Image.fromarray(plane).resize(size, method))


def fit(pixels):
    """RGBA pixels of any size, centred on the final square."""
    planes = pixels.astype(np.float32)
    planes[..., :3] *= planes[..., 3:] / 255
    height, width = planes.shape[:2]
    scale = (PICTURE_SIDE - 2 * MARGIN) / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    red, green, blue, alpha = (resize_plane(planes[..., k], size, scale < 1) for k in range(4))
    alpha = np.clip(alpha, 0, 255)
    square = np.zeros((PICTURE_SIDE, PICTURE_SIDE, 4), np.float32)
    x, y = (PICTURE_SIDE - size[0]) // 2, (PICTURE_SIDE - size[1]) // 2
    window = square[y:y + size[1], x:x + size[0]]
    for k, plane in enumerate((red, green, blue)):
        window[..., k] = np.clip(plane * 255 / np.maximum(alpha, 1), 0, 255) * (alpha > 0.5)
    window[..., 3] = alpha
    return square.round().astype(np.uint8)


def drawing(picture, what):
    """A drawing as RGBA on the final square."""
    pixels = np.array(picture.convert("RGBA"))
    if pixels[..., 3].min() > 250:
        pixels[..., 3] = np.where(paper(pixels), 0, 255)
    mask = Image.fromarray(np.where(pixels[..., 3] > VISIBLE, 255, 0).astype(np.uint8))
    box = mask.getbbox()
    if not box:
        raise Problem(f"{what}: nothing visible")
    left, top, right, bottom = box
    return Image.fromarray(fit(pixels[top:bottom, left:right]))


def square(picture, x, y, side):
    """A square of a photograph in the final size."""
    cropped = picture.convert("RGB").crop((x, y, x + side, y + side))
    return cropped.resize((PICTURE_SIDE, PICTURE_SIDE), Image.LANCZOS)


def photograph(picture):
    """The middle square of a photograph."""
    width, height = picture.size
    side = min(width, height)
    return square(picture, (width - side) // 2, (height - side) // 2, side)


def parse_crop(row):
    """The numbers x, y, side of the column crop."""
    try:
        x, y, side = map(int, row["crop"].split(","))
    except ValueError as error:
        raise Problem(f"pictures.tsv: {row['file']}: crop {row['crop']} is not x,y,side") from error
    return x, y, side


# --- Writing ---------------------------------------------------------------------------------


def build(row, folder, out):
    """Makes the picture of one row of pictures.tsv."""
    target = Path(out, row["file"])
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = open_source(folder, row["path"])
    if row["kind"] == "background":
        square(picture, *parse_crop(row)).save(target, quality=JPEG_QUALITY)
        return
    made = photograph(picture) if row["kind"] == "photo" else drawing(picture, row["path"])
    made.save(target, lossless=True, method=4, quality=80)


def build_all(downloads, out, packages):
    """Makes the pictures of `packages`; returns the names of the files."""
    files = []
    for row in read_items("pictures.tsv", read_sources()):
        if row["package"] in packages:
            build(row, files_folder(downloads, row["package"]), out)
            files.append(row["file"])
    return files


def main(argv):
    given = options(__doc__, argv, required=["downloads", "out"], packages="")
    packages = fetched_packages(given.downloads, read_sources(), given.packages)
    print(f"{len(build_all(given.downloads, given.out, packages))} pictures made")
    return 0


if __name__ == "__main__":
    run_main(main)
