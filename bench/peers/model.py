# SPDX-License-Identifier: Apache-2.0
"""The ONE-PEACE encoder for inference in PyTorch, one branch at a time, from a file that `onepeace
convert` or tests/golden/make_model writes.

    encoder = Encoder(path, 'image', 257)          # or 'audio', 'text'; positions with CLS
    rows = encoder(pixels)                         # [batch, D], rows of unit length

The way one would write it for speed with a recent PyTorch: Q, K and V as one linear layer, gate and
value as one, the layer scales inside the matrices that they follow, the relative-position bias of
this length gathered once, scaled_dot_product_attention with that bias as the mask.
"""
import json
import math

import safetensors
import torch
import torch.nn as nn
import torch.nn.functional as F

EPS = 1e-5
POSITIONS = 1024  # reach of the logarithmic buckets
TEXT_BUCKETS, AUDIO_BUCKETS = 256, 512


class Weights:
    """A safetensors file: its configuration and its tensors in float32."""

    def __init__(self, path):
        self.file = safetensors.safe_open(path, 'pt')
        self.config = json.loads(self.file.metadata()['onepeace.config'])
        encoder = self.config['model']['encoder']
        self.dim, self.layers = encoder['embed_dim'], encoder['layers']
        self.heads = encoder['attention_heads']
        self.names = set(self.file.keys())
        self.side = self.config['task']['patch_image_size'] // 16

    def __call__(self, name):
        return self.file.get_tensor(name).float()

    def wave_spec(self):
        """'[(512, 10, 5)] + [(512, 3, 2)] * 4' as a list, without executing it."""
        spec, out = self.config['model']['encoder']['audio_adapter']['feature_encoder_spec'], []
        for part in spec.split('+'):
            layers, _, times = part.partition('*')
            numbers = [int(n) for n in layers.translate(str.maketrans('[](),', '     ')).split()]
            out += [tuple(numbers[i:i + 3]) for i in range(0, len(numbers), 3)] * int(times or 1)
        return out

    def positions(self, kind, length):
        """Positions, CLS included, of so many token ids or samples, or of a picture."""
        if kind == 'text':
            return length + 1
        if kind == 'image':
            return self.side * self.side + 1
        for _width, kernel, stride in self.wave_spec():
            length = (length - kernel) // stride + 1
        return length + 1


# --- Relative positions --------------------------------------------------------------------------

def sequence_buckets(buckets, count):
    """Row of the bias table for each (query, key) of `count` positions, the first of them CLS."""
    at = torch.arange(count - 1)
    distance = at[:, None] - at[None]
    near = buckets // 2
    log = torch.log(distance.abs().clamp(min=1).float() / near)
    far = near + torch.ceil(log / math.log((POSITIONS - 1) / near) * (near - 1)).long()
    out = torch.empty(count, count, dtype=torch.long)
    out[1:, 1:] = torch.where(distance.abs() <= near, distance, distance.sign() * far) + buckets - 1
    return with_cls(out, 2 * buckets - 1)


def picture_buckets(side):
    """The same for side x side patches behind a CLS."""
    y, x = torch.arange(side).repeat_interleave(side), torch.arange(side).repeat(side)
    span = 2 * side - 1
    out = torch.empty(side * side + 1, side * side + 1, dtype=torch.long)
    out[1:, 1:] = (y[:, None] - y[None] + side - 1) * span + x[:, None] - x[None] + side - 1
    return with_cls(out, span * span)


def with_cls(out, first):
    """The last three rows of a table belong to CLS as query, as key, and to itself."""
    out[0, :], out[:, 0], out[0, 0] = first, first + 1, first + 2
    return out


# --- Adapters ------------------------------------------------------------------------------------

def linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def norm(w, name, width):
    layer = nn.LayerNorm(width, eps=EPS)
    layer.weight, layer.bias = nn.Parameter(w(name + '.weight')), nn.Parameter(w(name + '.bias'))
    return layer


def convolution(kind, weight, bias, **settings):
    layer = kind(weight.shape[1] * settings.get('groups', 1), weight.shape[0], weight.shape[2],
                 bias=bias is not None, **settings)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


class TextAdapter(nn.Module):
    def __init__(self, w, count):
        super().__init__()
        p = 'encoder_wrapper.text_adapter.'
        self.tokens = nn.Embedding.from_pretrained(w(p + 'embed_tokens.weight'))
        positions = w(p + 'embed_positions.weight')[:count]
        self.cls = nn.Parameter(w(p + 'cls_embedding') + positions[:1])
        self.positions = nn.Parameter(positions[1:].clone())

    def forward(self, ids):
        return torch.cat([self.cls.expand(ids.shape[0], -1, -1),
                          self.tokens(ids) + self.positions], 1)


class ImageAdapter(nn.Module):
    def __init__(self, w, _count):
        super().__init__()
        p = 'encoder_wrapper.image_adapter.'
        convs = [(w(f'{p}embed_images.{i}.weight'), w(f'{p}embed_images.{i}.bias')) for i in (0, 3, 6)]
        self.convs = nn.ModuleList([convolution(nn.Conv2d, *c, stride=c[0].shape[2]) for c in convs])
        self.norms = nn.ModuleList([norm(w, f'{p}embed_images.{i}.layer_norm', w.dim // 4)
                                    for i in (1, 4)])
        positions = w(p + 'pos_embed')
        if len(positions) != w.side * w.side + 1:
            raise ValueError('the picture is not of the size that the file has positions for')
        self.cls = nn.Parameter(w(p + 'cls_embedding') + positions[:1])
        self.positions = nn.Parameter(positions[1:].clone())

    def forward(self, pixels):
        x = pixels
        for conv, layer_norm in zip(self.convs, self.norms):
            x = F.gelu(layer_norm(conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        x = self.convs[2](x).flatten(2).transpose(1, 2) + self.positions
        return torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1)


class AudioAdapter(nn.Module):
    def __init__(self, w, _count):
        super().__init__()
        p = 'encoder_wrapper.audio_adapter.'
        spec = w.wave_spec()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, (width, _kernel, stride) in enumerate(spec):
            q = f'{p}embed_audios.0.conv_layers.{i}.'
            self.convs.append(convolution(nn.Conv1d, w(q + '0.weight'), None, stride=stride))
            self.norms.append(norm(w, q + '2.1', width))
        self.norm = norm(w, p + 'embed_audios.2', spec[-1][0])
        self.linear = linear(w(p + 'embed_audios.3.weight'), w(p + 'embed_audios.3.bias'))
        self.positions, self.dim = nn.ModuleList(), w.dim
        while f'{p}embed_positions.{len(self.positions) + 1}.0.weight' in w.names:
            q = f'{p}embed_positions.{len(self.positions) + 1}.0.'
            kernel = w(q + 'weight')
            self.positions.append(convolution(nn.Conv1d, kernel, w(q + 'bias'), groups=16,
                                              padding=kernel.shape[2] // 2))
        self.cls = nn.Parameter(w(p + 'cls_embedding') + w(p + 'cls_pos_embed'))

    def forward(self, wave):
        x = wave.unsqueeze(1)
        for conv, layer_norm in zip(self.convs, self.norms):
            x = F.gelu(layer_norm(conv(x).transpose(1, 2))).transpose(1, 2)
        x = self.linear(self.norm(x.transpose(1, 2)))
        h = x
        for conv in self.positions:
            h = conv(h.transpose(1, 2)).transpose(1, 2)
            h = F.gelu(F.layer_norm(h, (self.dim,), eps=EPS))
        return torch.cat([self.cls.expand(x.shape[0], -1, -1), x + h], 1)


# --- Encoder -------------------------------------------------------------------------------------

class Layer(nn.Module):
    def __init__(self, w, index, kind):
        super().__init__()
        p = f'encoder_wrapper.fusion_model.layers.{index}.'
        a, f = p + 'self_attn.', f'{p}{kind}_ffn.'
        gamma_1, gamma_2 = w(p + 'gamma_1'), w(p + 'gamma_2')
        self.heads, d = w.heads, w.dim
        self.norm_1, self.norm_2 = norm(w, p + 'self_attn_layer_norm', d), norm(w, p + 'final_layer_norm', d)
        q, v = w(a + 'q_proj.bias'), w(a + 'v_proj.bias')
        self.qkv = linear(torch.cat([w(f'{a}{n}_proj.weight') for n in 'qkv']),
                          torch.cat([q, torch.zeros_like(q), v]))
        self.norm_heads = norm(w, a + 'ln', d)
        self.out = linear(w(a + 'out_proj.weight') * gamma_1[:, None], w(a + 'out_proj.bias') * gamma_1)
        self.gate_value = linear(torch.cat([w(f + '0.wi_0.weight'), w(f + '0.wi_1.weight')]), None)
        self.norm_ffn = norm(w, f + '2', self.gate_value.out_features // 2)
        self.down = linear(w(f + '3.weight') * gamma_2[:, None], w(f + '3.bias') * gamma_2)

    def forward(self, x, bias):
        batch, n, d = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(batch, n, 3, self.heads, d // self.heads).unbind(2)
        h = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), bias)
        x = x + self.out(self.norm_heads(h.transpose(1, 2).reshape(batch, n, d)))
        gate, value = self.gate_value(self.norm_2(x)).chunk(2, -1)
        return x + self.down(self.norm_ffn(F.gelu(gate) * value))


class Encoder(nn.Module):
    """One branch for inputs of one length: token ids, pixels or a 16 kHz waveform to unit rows."""

    def __init__(self, path, kind, positions):
        super().__init__()
        w = Weights(path)
        p = f'encoder_wrapper.{kind}_adapter.'
        self.adapter = dict(text=TextAdapter, image=ImageAdapter, audio=AudioAdapter)[kind](w, positions)
        if kind == 'image':
            rows = picture_buckets(w.side)
        else:
            rows = sequence_buckets(TEXT_BUCKETS if kind == 'text' else AUDIO_BUCKETS, positions)
        if p + 'rel_pos_table_list.1.weight' in w.names:
            raise ValueError('a table for each layer: only one for all is implemented')
        table = w(p + 'rel_pos_table_list.0.weight')
        self.register_buffer('bias', table[rows].permute(2, 0, 1)[None].contiguous())
        self.layers = nn.ModuleList([Layer(w, i, kind) for i in range(w.layers)])
        self.norm = norm(w, f'encoder_wrapper.fusion_model.{kind}_layer_norm', w.dim)
        self.proj = linear(w(kind + '_proj.weight'), w(kind + '_proj.bias'))
        self.requires_grad_(False).eval()

    def forward(self, x):
        x = self.adapter(x)
        for layer in self.layers:
            x = layer(x, self.bias)
        return F.normalize(self.proj(self.norm(x[:, 0])), dim=-1)
