# SPDX-License-Identifier: Apache-2.0
"""The model file as it is shipped, in PyTorch: weights, configuration and tokenizer are read from the
safetensors file itself, pictures and sounds from files, prepared as upstream does."""
import hashlib
import json
import struct

import numpy as np
import soundfile
import torch
from PIL import Image

from dataset import MEAN, RATE, STD, standardise
from model import OnePeace, config
from text import BPE

TYPES = {'F16': np.float16, 'F32': np.float32, 'I64': np.int64}
UNUSED = ('mask_embedding', 'fusion_model.version')  # in no embedding, so a converter may drop them


def read_safetensors(data):
    """(metadata, {name: float32 tensor}) of the bytes of a file."""
    size = struct.unpack_from('<Q', data)[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop('__metadata__')
    weights = {}
    for name, t in header.items():
        first, last = (8 + size + offset for offset in t['data_offsets'])
        values = np.frombuffer(data[first:last], TYPES[t['dtype']]).reshape(t['shape'])
        weights[name] = torch.from_numpy(values.astype(np.float32))
    return metadata, weights


def recipe_config(cfg, vocabulary):
    encoder = cfg['model']['encoder']
    return config(vocabulary, D=encoder['embed_dim'], F=encoder['ffn_embed_dim'], L=encoder['layers'],
                  H=encoder['attention_heads'], patch=cfg['task']['patch_image_size'],
                  audio_spec=encoder['audio_adapter']['feature_encoder_spec'])


def read_tokenizer(metadata):
    lines = metadata['onepeace.vocab.bpe'].split('\n')[1:]
    bpe = BPE([tuple(line.split(' ')) for line in lines if line])
    # The recipe's tokenizer numbers pieces by their order; the program reads the numbers.
    if json.loads(metadata['onepeace.encoder.json']) != {p: i for i, p in enumerate(bpe.pieces)} or \
            [line.split(' ')[0] for line in metadata['onepeace.dict.txt'].split('\n') if line] != \
            [str(i) for i in range(len(bpe.pieces))]:
        raise SystemExit("the tokenizer in the file is not one of this recipe's")
    return bpe


class Released:
    def __init__(self, path):
        with open(path, 'rb') as file:
            data = file.read()
        self.sha256 = hashlib.sha256(data).hexdigest()
        metadata, weights = read_safetensors(data)
        vocabulary = len(weights['encoder_wrapper.text_adapter.embed_tokens.weight'])
        c = recipe_config(json.loads(metadata['onepeace.config']), vocabulary)
        self.net, self.side, self.bpe = OnePeace(c), c['patch'], read_tokenizer(metadata)
        missing, unknown = self.net.load_state_dict(weights, strict=False)
        if unknown or [name for name in missing if not name.endswith(UNUSED)]:
            raise SystemExit(f'{path}: missing {missing}, unknown {unknown}')
        self.net.eval()

    @torch.no_grad()
    def words(self, texts):
        # One by one: no row can depend on the padding of its neighbours.
        return torch.cat([self.net(torch.tensor(self.bpe.batch([t])), 'text') for t in texts])

    @torch.no_grad()
    def pictures(self, paths):
        rows = []
        for path in paths:
            picture = Image.open(path).convert('RGB').resize((self.side, self.side), Image.BICUBIC)
            x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
            rows.append(self.net((x - MEAN) / STD, 'image'))
        return torch.cat(rows)

    @torch.no_grad()
    def sounds(self, paths):
        rows = []
        for path in paths:
            wave, rate = soundfile.read(path, dtype='int16')
            if rate != RATE or wave.ndim != 1:
                raise SystemExit(f'{path} is not a sound of one channel at {RATE} Hz')
            x = standardise(wave.astype(np.float32) / 32768)[:15 * RATE]
            x = np.tile(x, RATE // len(x) + 1)[:RATE] if len(x) < RATE else x
            rows.append(self.net(torch.from_numpy(x)[None], 'audio'))
        return torch.cat(rows)
