# SPDX-License-Identifier: Apache-2.0
"""Reads the data folder (manifest.jsonl and its files) and prepares items as the encoder takes them."""
import collections
import json
import os

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from PIL import Image

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
RATE = 16000


def standardise(wave):
    """Zero mean, unit variance over the clip, as upstream."""
    return ((wave - wave.mean()) / np.sqrt(wave.var() + 1e-5)).astype(np.float32)


def smaller(pictures, side):
    return F.interpolate(pictures, size=(side, side), mode='bilinear', align_corners=False, antialias=True)


class Dataset:
    """All pictures (RGBA bytes [n, 4, 112, 112]) and sounds (int16), with their rows and concepts."""

    def __init__(self, root, concepts, side):
        self.concepts, self.side = concepts, side
        number = {c['name']: i for i, c in enumerate(concepts)}
        with open(os.path.join(root, 'manifest.jsonl'), encoding='utf-8') as f:
            rows = [json.loads(line) for line in f]
        self.image_rows = [r for r in rows if r['modality'] == 'image']
        self.sound_rows = [r for r in rows if r['modality'] == 'sound']
        backgrounds = [r for r in rows if r['modality'] == 'background']

        def pixels(rows, mode):
            return torch.from_numpy(np.stack([
                np.array(Image.open(os.path.join(root, r['file'])).convert(mode)) for r in rows
            ])).permute(0, 3, 1, 2)
        self.images = pixels(self.image_rows, 'RGBA')
        self.waves = [soundfile.read(os.path.join(root, r['file']), dtype='int16')[0] for r in self.sound_rows]
        self.image_concept = np.array([number[r['concept']] for r in self.image_rows])
        self.sound_concept = np.array([number[r['concept']] for r in self.sound_rows])
        self.silhouette = np.array([r['kind'] == 'mono' for r in self.image_rows])
        # By concept; finish_sounds has the validation split's as well, see train.py.
        self.train_images, self.train_sounds, self.finish_sounds = (collections.defaultdict(list) for _ in range(3))
        for i, r in enumerate(self.image_rows):
            if r['split'] == 'train' and r['tier'] == 'permissive':
                self.train_images[int(self.image_concept[i])].append(i)
        for i, r in enumerate(self.sound_rows):
            if r['split'] == 'train':
                self.train_sounds[int(self.sound_concept[i])].append(i)
            if r['split'] in ('train', 'val'):
                self.finish_sounds[int(self.sound_concept[i])].append(i)
        self.pictured = sorted(self.train_images)
        self.heard = sorted(k for k in self.train_sounds if k in self.train_images)
        self._shrink(pixels(backgrounds, 'RGB'))

    def _shrink(self, backgrounds):
        """Antialiased copies at the model's size, colours multiplied by alpha."""
        parts = []
        for k in range(0, len(self.images), 256):
            x = self.images[k:k + 256].float() / 255
            x = torch.cat([x[:, :3] * x[:, 3:], x[:, 3:]], 1)
            parts.append((smaller(x, self.side) * 255).round().to(torch.uint8))
        self.small = torch.cat(parts)
        self.backgrounds = smaller(backgrounds.float(), self.side).round().to(torch.uint8)

    def wave(self, i):
        return self.waves[i].astype(np.float32) / 32768

    def pixels(self, indices):
        """What the program makes of an opaque file: white behind, Pillow's bicubic, normalised."""
        out = []
        for i in indices:
            picture = Image.fromarray(self.images[i].permute(1, 2, 0).numpy(), 'RGBA')
            page = Image.new('RGBA', picture.size, (255, 255, 255, 255))
            page.alpha_composite(picture)
            out.append(np.array(page.convert('RGB').resize((self.side, self.side), Image.BICUBIC)))
        x = torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 255
        return (x - MEAN) / STD

    def sound(self, i):
        """What the program makes of a 16 kHz file: repeated below one second."""
        x = standardise(self.wave(i))
        if len(x) < RATE:
            x = np.tile(x, RATE // len(x) + 1)[:RATE]
        return torch.from_numpy(x)[None]
