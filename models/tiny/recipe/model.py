# SPDX-License-Identifier: Apache-2.0
"""The ONE-PEACE retrieval encoder in plain PyTorch, with upstream's tensor names and shapes.

`OnePeace(config).state_dict()` is the `model` entry of an upstream checkpoint. Index tables that
follow from the configuration (rp_bucket, position_idx) are rebuilt here and are not part of it.
Architecture: OFA-Sys/ONE-PEACE (Apache-2.0).
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

TEXT_BUCKET, AUDIO_BUCKET, MAX_POSITIONS = 256, 512, 1024


def config(vocabulary, **overrides):
    """Sizes of the tiny model. `patch` is the picture's side in pixels, a multiple of 16."""
    c = dict(D=192, F=384, L=4, H=4, V=vocabulary, patch=64,
             audio_spec='[(128, 400, 160), (128, 3, 2), (128, 2, 2)]',
             drop_path=0.1, layer_scale=0.3, std=0.04)
    c.update(overrides)
    return c


def parse_spec(text):
    """'[(128, 400, 160), (128, 3, 2)]' -> [(128, 400, 160), (128, 3, 2)], without executing it."""
    numbers = [int(n) for n in text.replace('(', ' ').replace(')', ' ').replace('[', ' ')
               .replace(']', ' ').replace(',', ' ').split()]
    return [tuple(numbers[i:i + 3]) for i in range(0, len(numbers), 3)]


def layer_norm(width, affine=True):
    return nn.LayerNorm(width, eps=1e-5, elementwise_affine=affine)


def token_bucket(bucket, n):
    """Bucket of each (query, key) pair of n positions with a CLS in front, for words and sounds."""
    distance = torch.arange(n)[:, None] - torch.arange(n)[None]
    mid = bucket // 2
    far = torch.log(distance.abs().clamp(min=1).float() / mid) / math.log((MAX_POSITIONS - 1) / mid)
    far = torch.sign(distance) * (mid + torch.ceil(far * (mid - 1)).long())
    out = torch.where(distance.abs() <= mid, distance, far) + bucket - 1
    out[0, :], out[:, 0], out[0, 0] = 2 * bucket - 1, 2 * bucket, 2 * bucket + 1
    return out


def image_bucket(side):
    """Bucket of each (query, key) pair of side x side patches with a CLS in front, and their count."""
    n = (2 * side - 1) ** 2 + 3
    y, x = torch.arange(side * side) // side, torch.arange(side * side) % side
    out = torch.zeros(side * side + 1, side * side + 1, dtype=torch.long)
    out[1:, 1:] = (y[:, None] - y[None] + side - 1) * (2 * side - 1) + (x[:, None] - x[None] + side - 1)
    out[0, :], out[:, 0], out[0, 0] = n - 3, n - 2, n - 1
    return out, n


def small_normal(*shape):
    return nn.Parameter(torch.randn(*shape) * 0.02)


class Transpose(nn.Module):
    def forward(self, x):
        return x.transpose(-2, -1)


class LayerNorm2D(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer_norm = layer_norm(width)

    def forward(self, x):
        return self.layer_norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TextAdapter(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c['D']
        self.cls_embedding = small_normal(1, 1, d)
        self.embed_tokens = nn.Embedding(c['V'], d, padding_idx=1)
        self.embed_positions = nn.Embedding(514, d)
        self.rel_pos_table_list = nn.ModuleList([nn.Embedding(2 * TEXT_BUCKET + 2, c['H'])])
        self.register_buffer('bucket', token_bucket(TEXT_BUCKET, 128), persistent=False)

    def forward(self, ids):
        batch, n = len(ids), ids.shape[1] + 1
        x = torch.cat([self.cls_embedding.expand(batch, -1, -1), self.embed_tokens(ids)], 1)
        x = x + self.embed_positions.weight[:n]
        padding = torch.cat([torch.zeros(batch, 1, dtype=torch.bool), ids.eq(1)], 1)
        return x, self.rel_pos_table_list[0](self.bucket[:n, :n]).permute(2, 0, 1)[None], padding


class ImageAdapter(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, side = c['D'], c['patch'] // 16
        bucket, n = image_bucket(side)
        self.cls_embedding = small_normal(1, 1, d)
        self.embed_images = nn.Sequential(
            nn.Conv2d(3, d // 4, 4, 4), LayerNorm2D(d // 4), nn.GELU(),
            nn.Conv2d(d // 4, d // 4, 2, 2), LayerNorm2D(d // 4), nn.GELU(), nn.Conv2d(d // 4, d, 2, 2))
        self.pos_embed = small_normal(side * side + 1, d)
        self.rel_pos_table_list = nn.ModuleList([nn.Embedding(n, c['H'])])
        self.register_buffer('bucket', bucket, persistent=False)

    def forward(self, pixels):
        x = self.embed_images(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_embedding.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return x, self.rel_pos_table_list[0](self.bucket).permute(2, 0, 1)[None], None


def band_filters(weight, rate=16000):
    """Starts a wide first convolution as mel-spaced band-pass filters in four phases each.

    The mean of the four GELU outputs follows the energy of the band, a spectrogram to begin with.
    """
    channels, _, width = weight.shape
    bands, t = channels // 4, (torch.arange(width) - (width - 1) / 2) / rate

    def hertz(mel):
        return 700 * (math.exp(mel / 1127) - 1)
    low, high = (1127 * math.log(1 + f / 700) for f in (80, 7600))
    step = (high - low) / (bands - 1)
    for i in range(bands):
        centre = hertz(low + step * i)
        spread = max(60.0, (hertz(low + step * (i + 1)) - centre) * 1.2)
        window = torch.exp(-0.5 * (t * spread * 2.2) ** 2)
        for phase in range(4):
            w = window * torch.cos(2 * math.pi * centre * t + phase * math.pi / 2)
            weight.data[4 * i + phase, 0] = w / w.norm() * math.sqrt(1 + centre / 500)


class WaveLayers(nn.Module):
    def __init__(self, spec):
        super().__init__()
        layers, before = [], 1
        for width, kernel, stride in spec:
            conv = nn.Conv1d(before, width, kernel, stride, bias=False)
            nn.init.kaiming_normal_(conv.weight)
            norm = nn.Sequential(Transpose(), layer_norm(width), Transpose())
            layers.append(nn.Sequential(conv, nn.Dropout(0.0), norm, nn.GELU()))
            before = width
        self.conv_layers = nn.ModuleList(layers)
        if spec[0][1] >= 200:
            band_filters(self.conv_layers[0][0].weight)

    def forward(self, wave):
        x = wave.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        return x


class AudioAdapter(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, spec = c['D'], parse_spec(c['audio_spec'])
        self.cls_embedding, self.cls_pos_embed = small_normal(1, 1, d), small_normal(1, 1, d)
        self.mask_embedding = small_normal(1, d)
        width = spec[-1][0]
        self.embed_audios = nn.Sequential(WaveLayers(spec), Transpose(), layer_norm(width), nn.Linear(width, d))

        def position_layer():
            return nn.Sequential(nn.Conv1d(d, d, 19, padding=9, groups=16), nn.Identity(), Transpose(),
                                 layer_norm(d, False), Transpose(), nn.GELU())
        self.embed_positions = nn.Sequential(Transpose(), *[position_layer() for _ in range(5)], Transpose())
        self.rel_pos_table_list = nn.ModuleList([nn.Embedding(2 * AUDIO_BUCKET + 2, c['H'])])
        self.register_buffer('bucket', token_bucket(AUDIO_BUCKET, 1024), persistent=False)

    def forward(self, wave):
        features = self.embed_audios(wave)
        features = features + self.embed_positions(features)
        cls = (self.cls_embedding + self.cls_pos_embed).expand(len(features), -1, -1)
        x = torch.cat([cls, features], 1)
        n = x.shape[1]
        return x, self.rel_pos_table_list[0](self.bucket[:n, :n]).permute(2, 0, 1)[None], None


class GeGLU(nn.Module):
    def __init__(self, d, f):
        super().__init__()
        self.wi_0, self.wi_1 = nn.Linear(d, f, bias=False), nn.Linear(d, f, bias=False)

    def forward(self, x):
        gate, value = F.linear(x, torch.cat([self.wi_0.weight, self.wi_1.weight])).chunk(2, -1)
        return F.gelu(gate) * value


class SelfAttention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(d, d), nn.Linear(d, d, bias=False)
        self.v_proj, self.out_proj, self.ln = nn.Linear(d, d), nn.Linear(d, d), layer_norm(d)

    def forward(self, x, bias):
        batch, n, d = x.shape
        scale = (d // self.heads) ** -0.5
        weight = torch.cat([self.q_proj.weight * scale, self.k_proj.weight, self.v_proj.weight])
        b = torch.cat([self.q_proj.bias * scale, torch.zeros_like(self.q_proj.bias), self.v_proj.bias])
        qkv = F.linear(x, weight, b).view(batch, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        a = torch.softmax(q @ k.transpose(-1, -2) + bias, -1) @ v
        return self.out_proj(self.ln(a.transpose(1, 2).reshape(batch, n, d)))


class Layer(nn.Module):
    def __init__(self, c, drop_path):
        super().__init__()
        d, f = c['D'], c['F']
        self.drop_path = drop_path
        self.self_attn_layer_norm, self.final_layer_norm = layer_norm(d), layer_norm(d)
        self.self_attn = SelfAttention(d, c['H'])
        self.gamma_1 = nn.Parameter(torch.full((d,), c['layer_scale']))
        self.gamma_2 = nn.Parameter(torch.full((d,), c['layer_scale']))
        for branch in ('text', 'image', 'audio'):
            setattr(self, branch + '_ffn',
                    nn.Sequential(GeGLU(d, f), nn.Dropout(0.0), layer_norm(f), nn.Linear(f, d)))

    def drop(self, x):
        if self.training and self.drop_path > 0:
            x = x * (torch.rand(len(x), 1, 1) > self.drop_path) / (1 - self.drop_path)
        return x

    def forward(self, x, bias, branch):
        x = x + self.drop(self.gamma_1 * self.self_attn(self.self_attn_layer_norm(x), bias))
        return x + self.drop(self.gamma_2 * getattr(self, branch + '_ffn')(self.final_layer_norm(x)))


class Fusion(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.register_buffer('version', torch.tensor([3.0]))
        last = max(1, c['L'] - 1)
        self.layers = nn.ModuleList([Layer(c, c['drop_path'] * i / last) for i in range(c['L'])])
        for branch in ('text', 'image', 'audio'):
            setattr(self, branch + '_layer_norm', layer_norm(c['D']))


class Wrapper(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.text_adapter, self.image_adapter = TextAdapter(c), ImageAdapter(c)
        self.audio_adapter, self.fusion_model = AudioAdapter(c), Fusion(c)


class OnePeace(nn.Module):
    """forward(x, branch) -> rows of unit length.

    x is token ids [n, t] ending with 2 and padded with 1 for 'text', pixels [n, 3, patch, patch]
    for 'image', samples [n, t] at 16 kHz for 'audio'.
    """

    def __init__(self, c):
        super().__init__()
        self.c = c
        d = c['D']
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.text_proj, self.image_proj, self.audio_proj = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.encoder_wrapper = Wrapper(c)
        for name, p in self.named_parameters():
            if 'rel_pos_table' in name or name.endswith('bias'):
                nn.init.zeros_(p)
            elif p.dim() == 2 and ('fusion_model' in name or '_proj' in name):
                nn.init.trunc_normal_(p, std=c['std'], a=-2 * c['std'], b=2 * c['std'])
            elif name.endswith(('embed_tokens.weight', 'embed_positions.weight')):
                nn.init.normal_(p, std=0.02)
        self.encoder_wrapper.text_adapter.embed_tokens.weight.data[1] = 0

    def forward(self, x, branch):
        wrapper = self.encoder_wrapper
        x, bias, padding = getattr(wrapper, branch + '_adapter')(x)
        if padding is not None and padding.any():
            x = x.masked_fill(padding[..., None], 0)
            mask = torch.zeros(len(x), 1, 1, padding.shape[1])
            bias = bias + mask.masked_fill(padding[:, None, None], float('-inf'))
        for layer in wrapper.fusion_model.layers:
            x = layer(x, bias, branch)
        x = getattr(wrapper.fusion_model, branch + '_layer_norm')(x[:, 0])
        return F.normalize(getattr(self, branch + '_proj')(x), dim=-1)
