# SPDX-License-Identifier: Apache-2.0
"""Writes a trained checkpoint in upstream's form, for `onepeace convert` and for upstream's own code.

usage: export.py CHECKPOINT OUT data=FOLDER

OUT/onepeace-tiny.pt holds the running average of the weights under upstream's names, in float32, and
the configuration; OUT/BPE the tokenizer's three files; OUT/concepts.txt the concepts trained on.
"""
import collections
import json
import os
import sys

import torch

from model import parse_spec
from text import BPE, load_concepts


def upstream_config(c):
    adapter = dict(_name=None, layernorm_embedding=False, add_type_embedding=False, shrink_alpha=1.0,
                   dropout=0.0, use_attn_bias=True)
    side = c['patch'] // 16
    encoder = dict(
        _name=None, embed_path=None, embed_dim=c['D'], ffn_embed_dim=c['F'], layers=c['L'],
        attention_heads=c['H'], normalize_before=True, learned_pos=True, layerdrop=0.0, layers_to_keep=None,
        text_adapter=dict(adapter, bucket_size=256),
        image_adapter=dict(adapter, bucket_size=side, rel_bucket_size=side, vision_encoder_type='hmlp'),
        audio_adapter=dict(
            adapter, feature_embed_dim=parse_spec(c['audio_spec'])[-1][0],
            feature_encoder_spec=c['audio_spec'], abs_pos_type='conv', conv_pos_depth=5, conv_pos_width=95,
            conv_pos_groups=16, conv_pos_pre_ln=False, bucket_size=512, conv_bias=False,
            freeze_extractor=False),
        drop_path_rate=c['drop_path'], magneto_scale_attn=True, scale_attn=False, scale_fc=True,
        scale_heads=False, use_text_moe=True, use_image_moe=True, use_audio_moe=True, use_layer_scale=True,
        layer_scale_init_value=c['layer_scale'], activation_fn='gelu', dropout=0.0, attention_dropout=0.0,
        activation_dropout=0.0, max_positions=1024)
    task = dict(_name='image_text_retrieval', bpe_dir='BPE', max_positions=1024, max_src_length=70,
                patch_image_size=c['patch'], max_duration=15, feature_encoder_spec=c['audio_spec'],
                head_type='val', num_classes=None, use_two_images=False, zero_shot=False)
    return dict(model=dict(_name='one_peace_retrieval', copy_rel_pos_table=False, encoder=encoder), task=task)


def trained_concepts(data):
    """Names of the concepts that have a picture to train on, in the order of concepts.tsv."""
    with open(os.path.join(data, 'manifest.jsonl'), encoding='utf-8') as f:
        rows = [json.loads(line) for line in f]
    pictured = {r['concept'] for r in rows
                if r['modality'] == 'image' and r['split'] == 'train' and r['tier'] == 'permissive'}
    return [c['name'] for c in load_concepts(data) if c['name'] in pictured]


def main(argv):
    if len(argv) != 4 or not argv[3].startswith('data='):
        sys.exit(__doc__)
    saved, out = torch.load(argv[1], weights_only=True), argv[2]
    weights = collections.OrderedDict((k, v.contiguous().clone()) for k, v in saved['average'].items())
    os.makedirs(out, exist_ok=True)
    # Through an open file, so that the folder inside the zip has upstream's name, `archive`.
    with open(os.path.join(out, 'onepeace-tiny.pt'), 'wb') as f:
        torch.save(dict(
            args=None, cfg=upstream_config(saved['config']), model=weights, criterion=None,
            optimizer_history=[dict(optimizer_name='AdamW', num_updates=saved['step'])],
            task_state={}, extra_state={}), f)
    BPE([tuple(m) for m in saved['merges']]).save(os.path.join(out, 'BPE'))
    with open(os.path.join(out, 'concepts.txt'), 'w', encoding='utf-8') as f:
        f.writelines(name + '\n' for name in trained_concepts(argv[3][5:]))


if __name__ == '__main__':
    main(sys.argv)
