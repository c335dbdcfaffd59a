# SPDX-License-Identifier: Apache-2.0
"""Random changes to pictures and sounds; `rng` is a numpy Generator, so a seed fixes them all.

Pictures are drawn by thirteen hands and tested on another one, so most of this changes the hand:
colours, outlines, pale fills, background, place and size. Sounds come from few sources, so their
changes imitate another recording: speed, equaliser, room, noise, and two sounds at once.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

from dataset import MEAN, RATE, STD, standardise

GREY = torch.tensor([.299, .587, .114]).view(1, 3, 1, 1)


def as_tensor(array):
    return torch.from_numpy(np.asarray(array, np.float32))


def uniform(rng, low, high, shape):
    return as_tensor(rng.uniform(low, high, shape))


def backgrounds(data, n, rng):
    """White for half of them, else a plain colour, a gradient, cloudy noise, or part of a photograph."""
    side = data.side
    out = torch.ones(n, 3, side, side)

    def noise(cells, corners):
        x = as_tensor(rng.random((1, 3, cells, cells)))
        return F.interpolate(x, size=(side, side), mode='bilinear', align_corners=corners)[0]
    for i, r in enumerate(rng.random(n)):
        if r < 0.5:
            continue
        if r < 0.60:
            out[i] = as_tensor(rng.random((3, 1, 1)) * 0.6 + 0.4)
        elif r < 0.68:
            out[i] = as_tensor(rng.random((3, 1, 1)))
        elif r < 0.75:
            out[i] = noise(2, True)
        elif r < 0.80:
            out[i] = noise(int(rng.choice([4, 8, 16])), False) * 0.5 + float(rng.random()) * 0.5
        else:
            picture = data.backgrounds[rng.integers(len(data.backgrounds))].float() / 255
            m = int(rng.integers(side // 2, side + 1))
            y, x = rng.integers(0, side + 1 - m, 2)
            out[i] = F.interpolate(picture[None, :, y:y + m, x:x + m], size=(side, side), mode='bilinear',
                                   align_corners=False)[0]
    return out


def warp(data, indices, rng, strength):
    """Scale, place, turn, mirror and stretch; returns premultiplied RGBA [n, 4, side, side]."""
    n = len(indices)
    scale = np.exp(rng.uniform(math.log(1 - 0.5 * strength), math.log(1 + 0.18 * strength), n))
    room = np.maximum(0.06, 1 - scale) * 0.9
    tx, ty = rng.uniform(-1, 1, n) * room, rng.uniform(-1, 1, n) * room
    turn, stretch = rng.normal(0, 0.18 * strength, n), np.exp(rng.normal(0, 0.1 * strength, n))
    mirror = np.where(rng.random(n) < 0.5, -1, 1)
    c, s = np.cos(turn) / scale, np.sin(turn) / scale
    m = np.empty((n, 2, 3), np.float32)
    m[:, 0, 0], m[:, 0, 1] = c * mirror / stretch, -s / stretch
    m[:, 1, 0], m[:, 1, 1] = s * mirror * stretch, c * stretch
    m[:, :, 2] = -(m[:, :, 0] * tx[:, None] + m[:, :, 1] * ty[:, None])
    grid = F.affine_grid(torch.from_numpy(m), (n, 4, data.side, data.side), align_corners=False)
    return F.grid_sample(data.small[indices].float() / 255, grid, align_corners=False)


def outlines(x, alpha, rng, strength):
    """Dark lines around the figure and along its borders of colours, for a part of the pictures.

    x is the picture on white, alpha its figure; both are changed, for the outer line grows outwards.
    """
    pick = np.where(rng.random(len(x)) < 0.25 + 0.35 * strength)[0]
    if not len(pick):
        return
    y, a, k = x[pick], alpha[pick], len(pick)
    edge = torch.zeros_like(a)
    edge[..., :, 1:] = (y[..., :, 1:] - y[..., :, :-1]).abs().amax(1, keepdim=True)
    down = (y[..., 1:, :] - y[..., :-1, :]).abs().amax(1, keepdim=True)
    edge[..., 1:, :] = torch.maximum(edge[..., 1:, :], down)
    line = ((edge - uniform(rng, 0.06, 0.3, (k, 1, 1, 1))) * 8).clamp(0, 1)
    thick = as_tensor(rng.random((k, 1, 1, 1))) < 0.6
    line = torch.where(thick, F.max_pool2d(F.pad(line, (0, 1, 0, 1)), 2, 1), line)
    grown, shrunk = F.max_pool2d(a, 3, 1, 1), -F.max_pool2d(-a, 3, 1, 1)
    line = torch.maximum(line, grown - torch.where(thick, shrunk, a))
    pale = torch.where(as_tensor(rng.random((k, 1, 1, 1))) < 0.35, uniform(rng, 0, 0.6, (k, 1, 1, 1)), 1.0)
    ink = uniform(rng, 0, 0.25, (k, 3, 1, 1))
    dark = uniform(rng, 0.6, 1, (k, 1, 1, 1)) * line
    x[pick] = (1 - (1 - y) * pale) * (1 - dark) + ink * dark
    alpha[pick] = grown


def colours(x, rng):
    n = len(x)
    grey = (x * GREY).sum(1, keepdim=True)
    saturation = uniform(rng, 0.4, 1.5, (n, 1, 1, 1))
    saturation[torch.from_numpy(rng.random(n) < 0.1)] = 0
    y = grey + (x - grey) * saturation
    pick = torch.from_numpy(rng.random(n) < 0.35)
    if pick.any():  # turn the hue about the grey axis
        angle = uniform(rng, -0.9, 0.9, int(pick.sum()))
        c, s = torch.cos(angle), torch.sin(angle)
        t, q = (1 - c) / 3, s / math.sqrt(3)
        turn = torch.stack([c + t, t - q, t + q, t + q, c + t, t - q, t - q, t + q, c + t], -1)
        y[pick] = torch.einsum('nij,njhw->nihw', turn.view(-1, 3, 3), y[pick])
    y = y * (1 + uniform(rng, -0.12, 0.12, (n, 3, 1, 1)))
    y = ((y - 0.5) * uniform(rng, 0.6, 1.35, (n, 1, 1, 1)) + 0.5) * uniform(rng, 0.7, 1.3, (n, 1, 1, 1))
    x = torch.where(torch.from_numpy(rng.random((n, 1, 1, 1)) < 0.75), y, x)
    pick = torch.from_numpy(rng.random(n) < 0.12)
    if pick.any():
        x[pick] = F.avg_pool2d(F.pad(x[pick], (1, 1, 1, 1), mode='replicate'), 3, 1)
    pick = torch.from_numpy(rng.random(n) < 0.2)
    if pick.any():
        noise = as_tensor(rng.standard_normal((int(pick.sum()), *x.shape[1:]), np.float32))
        x[pick] = x[pick] + noise * uniform(rng, 0, 0.06, (int(pick.sum()), 1, 1, 1))
    return x.clamp(0, 1)


def pictures(data, indices, rng, strength):
    """Normalised pixels [n, 3, side, side] of the given pictures, changed."""
    n, side = len(indices), data.side
    layer = warp(data, indices, rng, strength)
    rgb, alpha = layer[:, :3], layer[:, 3:]
    mono = np.where(data.silhouette[indices])[0]
    if len(mono):  # a silhouette gets a colour, black three times in ten
        ink = rng.random((len(mono), 3, 1, 1)) * (rng.random((len(mono), 1, 1, 1)) < 0.7) * 0.9
        rgb[mono] = as_tensor(ink) * alpha[mono]
    white, alpha = rgb + (1 - alpha), alpha.clone()
    outlines(white, alpha, rng, strength)
    page = backgrounds(data, n, rng)
    x = colours(white * alpha + page * (1 - alpha), rng)
    for i in np.where(rng.random(n) < 0.2 * strength)[0]:
        h, w = rng.integers(side // 8, side // 3, 2)
        y, z = rng.integers(0, side - h), rng.integers(0, side - w)
        x[i, :, y:y + h, z:z + w] = as_tensor(rng.random((3, 1, 1)))
    return (x - MEAN) / STD


def loudness(x):
    return np.sqrt((x ** 2).mean()) + 1e-6


def fit(x, n, rng):
    """A part, or repetitions, or silence around: n samples."""
    if len(x) >= n:
        start = rng.integers(0, len(x) - n + 1)
        return x[start:start + n]
    if rng.random() < 0.6:
        if rng.random() < 0.4:
            x = np.concatenate([x, np.zeros(rng.integers(0, RATE // 2), np.float32)])
        return np.tile(x, n // len(x) + 1)[:n]
    out = np.zeros(n, np.float32)
    start = rng.integers(0, n - len(x) + 1)
    out[start:start + len(x)] = x
    return out


def speed(x, rng, spread=0.1):
    factor = math.exp(rng.normal(0, spread))
    return np.interp(np.arange(0, len(x) - 1, factor), np.arange(len(x)), x).astype(np.float32)


def equalise(x, rng):
    spectrum = np.fft.rfft(x)
    at = np.linspace(0, 1, len(spectrum), dtype=np.float32)
    gain = np.interp(at, np.linspace(0, 1, 6) ** 1.5, rng.normal(0, 5, 6))
    if rng.random() < 0.3:  # a dull recording
        gain = gain - 40 * np.clip((at - rng.uniform(0.3, 0.9)) * 6, 0, 1)
    return np.fft.irfft(spectrum * 10 ** (gain / 20), len(x)).astype(np.float32)


def room(x, rng):
    n = rng.integers(1600, 6400)
    echo = rng.standard_normal(n) * np.exp(-np.arange(n) / n * 6) * rng.uniform(0.01, 0.06)
    echo[0] = 1
    size = len(x) + n
    return np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(echo, size), size)[:len(x)].astype(np.float32)


def hiss(n, rng):
    """White noise, or brown noise without its drift, of unit loudness."""
    z = rng.standard_normal(n, np.float32)
    if rng.random() < 0.5:
        z = np.cumsum(z)
        at = np.linspace(0, n - 1, 40)
        z -= np.interp(np.arange(n), at, z[at.astype(int)])
    return z / loudness(z)


def change_sound(x, n, rng):
    x = fit(speed(x, rng), n, rng)
    level = loudness(x)
    if rng.random() < 0.5:
        x = equalise(x, rng)
    if rng.random() < 0.2:
        x = room(x, rng)
    if rng.random() < 0.5:
        x = x + hiss(n, rng) * level * 10 ** (-rng.uniform(8, 40) / 20)
    if rng.random() < 0.2:
        x = x.copy()
        start = rng.integers(0, n)
        x[start:start + rng.integers(800, n // 4)] = 0
    return x


def sounds(data, indices, others, n, rng, mix=0.4):
    """Standardised samples [k, n]; a share `mix` of them has the sound of `others` below it.

    Returns also each first sound's share of the two loudnesses, 1 where it is alone.
    """
    out, share = [], []
    for i, j in zip(indices, others):
        x, part = change_sound(data.wave(i), n, rng), 1.0
        if rng.random() < mix:
            y = change_sound(data.wave(j), n, rng)
            part = rng.uniform(0.6, 0.95)
            x = x / loudness(x) * part + y / loudness(y) * (1 - part)
        out.append(standardise(x))
        share.append(part)
    return torch.from_numpy(np.stack(out)), as_tensor(share)
