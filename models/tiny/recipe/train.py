# SPDX-License-Identifier: Apache-2.0
"""Trains the tiny model from random weights on the data folder.

usage: train.py data=FOLDER out=NAME [steps=N] [seed=N] [processes=2] [resume=1] ...   (see DEFAULTS)

Writes NAME.pt (weights, their running average, optimizer state; `resume=1` goes on from it) and
NAME.curve.jsonl (one line an evaluation on the validation split; the test split is not read here).
`processes` work side by side with one thread each: every one makes its own part of a batch and works
on it, and gradients are averaged. Every part depends on the seed, its step and its rank alone.
"""
import collections
import json
import math
import os
import sys
import tempfile
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

import augment
from dataset import Dataset
from evaluate import evaluate, short
from model import OnePeace, config
from text import BPE, Captions, load_concepts, train_merges

DEFAULTS = dict(
    data='', out='', steps=7000, seed=1, processes=2, resume=0, log=100, evaluate_every=500, patch=64,
    heard=32,        # concepts with a sound, a picture and a caption in a batch
    heard_more=48,   # further ones of the concepts with sounds, here without a sound
    others=32,       # concepts without sounds
    captions=32,     # captions in a batch
    lr=1.5e-3, muon=0.02, decay=0.05, average=0.999, warmup=200,
    strength0=0.3, strength=0.7,  # of the changes to pictures: at the start, and from 60 % on
    silhouettes=0.25,  # weight of a one-colour drawing among a concept's pictures
    contrast=0.5, prototype=1.0, smoothing=0.05,
    # From `tighten` on the scales of the losses may not exceed caps that fall from 20 to `tight` within
    # 600 steps: with a large scale items stay far from their prototype (cosine 0.4 to 0.5), and what is
    # left over drowns the similarity of a sound and a picture, which share only the prototypes.
    tighten=2800, tight=10.0,
    # `finish` further steps, after all choices are made: the validation split's sounds are trained on too,
    # few as sounds are, at a rate that starts from `finish_rate` of the first; its pictures stay apart.
    finish=800, finish_rate=0.2, finish_average=0.995)
SECONDS = (1.0, 1.5, 2.0)


def options(argv):
    o = dict(DEFAULTS)
    for a in argv:
        key, _, value = a.partition('=')
        if key not in o or not value:
            sys.exit('train.py: unknown option %r\n%s' % (a, __doc__))
        o[key] = type(o[key])(value)
    if not o['data'] or not o['out']:
        sys.exit(__doc__)
    return o


class Batches:
    """This rank's part of the batch of a step."""

    def __init__(self, o, rank):
        self.o, self.rank = o, rank
        self.concepts = load_concepts(o['data'])
        self.data = Dataset(o['data'], self.concepts, o['patch'])
        self.captions = Captions(self.concepts)
        heard = set(self.data.heard)
        self.others = np.array([k for k in self.data.pictured if k not in heard])
        self.heard = np.array(self.data.heard)
        self.all_sounds = np.array([i for k in self.data.heard for i in self.data.train_sounds[k]])

    def picture(self, concept, rng):
        candidates = np.array(self.data.train_images[concept])
        weight = np.where(self.data.silhouette[candidates], self.o['silhouettes'], 1.0)
        return int(rng.choice(candidates, p=weight / weight.sum()))

    def __call__(self, step):
        o, data = self.o, self.data
        shared = np.random.default_rng([o['seed'], step])  # no concept twice in the whole batch
        heard = shared.permutation(self.heard)[self.rank::o['processes']]
        others = shared.permutation(self.others)[self.rank::o['processes']]
        rng = np.random.default_rng([o['seed'], step, self.rank])
        n, more, rest, texts = (o[k] // o['processes'] for k in ('heard', 'heard_more', 'others', 'captions'))
        concept = np.concatenate([heard[:n + more], others[:rest]])
        progress = min(1, step / o['steps'])
        strength = o['strength0'] + (o['strength'] - o['strength0']) * min(1, progress / 0.6)
        pictures = augment.pictures(data, np.array([self.picture(int(k), rng) for k in concept]), rng, strength)
        mine = data.train_sounds if step < o['steps'] else data.finish_sounds
        first = [int(rng.choice(mine[int(k)])) for k in concept[:n]]
        second = rng.choice(self.all_sounds, n)
        samples = int(SECONDS[rng.integers(len(SECONDS))] * 16000)
        sounds, share = augment.sounds(data, first, second, samples, rng)
        captioned = rng.permutation(len(concept))[:texts]
        text = [self.captions.one(int(concept[i]), rng, i < n and rng.random() < 0.5) for i in captioned]
        return dict(pictures=pictures, sounds=sounds, share=share, text=text,
                    captioned=torch.from_numpy(captioned), concept=torch.from_numpy(concept),
                    second=torch.from_numpy(data.sound_concept[second]))


class Muon:
    """Momentum whose update of a matrix is made nearly orthogonal by Newton-Schulz steps.

    K. Jordan et al., https://kellerjordan.github.io/posts/muon/ (coefficients from there).
    """

    def __init__(self, parameters, rank, processes, momentum=0.95, iterations=4):
        self.rank, self.processes = rank, processes
        self.momentum, self.iterations = momentum, iterations
        self.groups = collections.defaultdict(list)
        for p in parameters:
            self.groups[tuple(p.shape)].append(p)
        self.buffers = {s: torch.zeros(len(g), *s) for s, g in self.groups.items()}

    @torch.no_grad()
    def step(self, lr, decay):
        for shape, group in self.groups.items():
            grad, buffer = torch.stack([p.grad for p in group]), self.buffers[shape]
            buffer.mul_(self.momentum).add_(grad)
            mine = slice(self.rank, None, self.processes)  # each rank works out a part
            update = torch.zeros_like(grad)
            update[mine] = self.orthogonal((grad + self.momentum * buffer)[mine])
            dist.all_reduce(update)
            for p, u in zip(group, update):
                p.mul_(1 - lr * decay).add_(u, alpha=-lr * max(1, shape[0] / shape[1]) ** 0.5)

    def orthogonal(self, x):
        tall = x.shape[1] > x.shape[2]
        x = x.transpose(1, 2) if tall else x
        x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
        for _ in range(self.iterations):
            b = x @ x.transpose(1, 2)
            x = 3.4445 * x + (-4.775 * b + 2.0315 * b @ b) @ x
        return x.transpose(1, 2) if tall else x


class Trainer:
    def __init__(self, o, batches, bpe, rank):
        self.o, self.bpe, self.rank = o, bpe, rank
        self.data, self.concepts = batches.data, batches.concepts
        self.config = config(bpe.size, patch=o['patch'])
        self.net = OnePeace(self.config)
        # One learned row a concept: every concept is a negative for every item, at no cost.
        self.prototypes = torch.nn.Parameter(torch.randn(len(self.concepts), self.config['D']) * 0.2)
        self.sharpness = torch.nn.Parameter(torch.tensor(math.log(12.0)))
        named = list(self.net.named_parameters())
        layered = [p for n, p in named if p.dim() == 2 and 'fusion_model.layers' in n]
        taken = {id(p) for p in layered}

        def decays(name, p):
            kernel = any(s in name for s in ('embed_audios', 'embed_images', 'audio_adapter.embed_positions'))
            return p.dim() >= 2 and (kernel or 'embed' not in name) and 'rel_pos' not in name
        rest = [(n, p) for n, p in named if id(p) not in taken]
        self.muon = Muon(layered, rank, o['processes'])
        self.adam = torch.optim.AdamW(
            [dict(params=[p for n, p in rest if decays(n, p)], weight_decay=o['decay']),
             dict(params=[p for n, p in rest if not decays(n, p)], weight_decay=0.0),
             dict(params=[self.prototypes, self.sharpness], weight_decay=0.0)],
            lr=o['lr'], betas=(0.9, 0.98), eps=1e-8)
        self.everything = [p for g in self.adam.param_groups for p in g['params']] + layered
        self.average = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.step, self.seconds, self.curve = 0, 0.0, []

    def largest_scale(self):
        o = self.o
        if self.step < o['tighten']:
            return 40.0
        return o['tight'] + (20.0 - o['tight']) * max(0.0, 1 - (self.step - o['tighten']) / 600)

    def loss(self, b):
        """Prototype losses of the three kinds, contrastive losses of the three pairs."""
        o, net = self.o, self.net
        concept, captioned, n = b['concept'], b['captioned'], len(b['sounds'])

        def ce(scores, target):
            return F.cross_entropy(scores, target, label_smoothing=o['smoothing'])

        def pair(scores, row, column):
            return (ce(scores[row], column) + ce(scores.t()[column], row)) / 2
        largest = math.log(self.largest_scale())
        scale = self.net.logit_scale.clamp(0, largest).exp()
        targets = F.normalize(self.prototypes, dim=-1).t() * self.sharpness.clamp(0, largest).exp()
        text = net(torch.tensor(self.bpe.batch(b['text'])), 'text')
        picture, sound = net(b['pictures'], 'image'), net(b['sounds'], 'audio')
        heard = sound @ targets
        two = F.cross_entropy(heard, concept[:n], label_smoothing=o['smoothing'], reduction='none') * b['share'] \
            + F.cross_entropy(heard, b['second'], label_smoothing=o['smoothing'], reduction='none') * (1 - b['share'])
        parts = dict(picture=ce(picture @ targets, concept), sound=two.mean(),
                     text=ce(text @ targets, concept[captioned]))
        row = torch.arange(len(captioned))
        parts['picture-text'] = pair(scale * text @ picture.t(), row, captioned)
        near = captioned < n
        parts['sound-text'] = pair(scale * text @ sound.t(), row[near], captioned[near]) if near.any() \
            else torch.zeros(())
        parts['sound-picture'] = pair(scale * sound @ picture.t(), torch.arange(n), torch.arange(n))
        total = o['prototype'] * (parts['picture'] + parts['sound'] + 0.5 * parts['text']) \
            + o['contrast'] * (parts['picture-text'] + parts['sound-text'] + parts['sound-picture'])
        return total, {k: float(v.detach()) for k, v in parts.items()}

    def rate(self):
        """Of the first rate: a cosine down to 1 %, and a smaller one for the finish."""
        o, after = self.o, self.step - self.o['steps']
        progress, top = (self.step / o['steps'], 1.0) if after < 0 else (after / o['finish'], o['finish_rate'])
        return top * (0.5 * (1 + math.cos(math.pi * progress)) * 0.99 + 0.01)

    def share_gradients(self):
        """Averages the gradients of all ranks, as one vector. Unused parameters get zeros."""
        for p in self.everything:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.flatten() for p in self.everything])
        dist.all_reduce(flat)
        flat /= self.o['processes']
        for p, g in zip(self.everything, flat.split([p.numel() for p in self.everything])):
            p.grad.copy_(g.view_as(p))

    def update(self, b):
        o, net = self.o, self.net
        factor = min(1, (self.step + 1) / o['warmup']) * self.rate()
        for group in self.adam.param_groups:
            group['lr'] = o['lr'] * factor
        total, parts = self.loss(b)
        for p in self.everything:
            p.grad = None
        total.backward()
        self.share_gradients()
        torch.nn.utils.clip_grad_norm_(list(net.parameters()), 1.0)
        self.adam.step()
        self.muon.step(o['muon'] * factor, o['decay'])
        net.encoder_wrapper.text_adapter.embed_tokens.weight.data[1] = 0
        average = o['average'] if self.step < o['steps'] else o['finish_average']
        keep = min(average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for k, v in net.state_dict().items():
                self.average[k].lerp_(v, 1 - keep)
        self.step += 1
        return parts

    def validate(self):
        raw = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.net.load_state_dict(self.average)
        result = evaluate(self.net, self.data, self.bpe, ('val',))
        self.net.load_state_dict(raw)
        self.curve.append(dict(step=self.step, minutes=round(self.seconds / 60, 2), **result))
        print('step %d, %.1f min: %s' % (self.step, self.seconds / 60, short(result)), flush=True)

    def save(self):
        state = dict(
            config=self.config, merges=[list(m) for m in self.bpe.merges], step=self.step,
            seconds=self.seconds, average=self.average, model=self.net.state_dict(),
            prototypes=self.prototypes.data, sharpness=self.sharpness.data, adam=self.adam.state_dict(),
            muon=list(self.muon.buffers.values()), curve=self.curve)
        torch.save(state, self.o['out'] + '.part')
        os.replace(self.o['out'] + '.part', self.o['out'] + '.pt')
        with open(self.o['out'] + '.curve.jsonl', 'w', encoding='utf-8') as f:
            f.writelines(json.dumps(point) + '\n' for point in self.curve)

    def resume(self):
        s = torch.load(self.o['out'] + '.pt', weights_only=True)
        self.net.load_state_dict(s['model'])
        self.prototypes.data, self.sharpness.data = s['prototypes'], s['sharpness']
        self.adam.load_state_dict(s['adam'])
        self.muon.buffers = dict(zip(self.muon.buffers, s['muon']))
        self.average, self.step, self.seconds, self.curve = s['average'], s['step'], s['seconds'], s['curve']


def describe(t, batches):
    print('torch %s | %s' % (torch.__version__, ' '.join('%s=%s' % x for x in t.o.items() if x[0] not in ('data', 'out'))))
    print('%.3f M weights, %d tokens | %d pictures of %d concepts, %d sounds of %d' % (
        sum(p.numel() for p in t.net.parameters()) / 1e6, t.bpe.size,
        sum(map(len, batches.data.train_images.values())), len(batches.data.pictured),
        sum(map(len, batches.data.train_sounds.values())), len(batches.data.heard)), flush=True)


def work(rank, o, address):
    torch.set_num_threads(1)
    torch.manual_seed(o['seed'])
    dist.init_process_group('gloo', init_method=address, rank=rank, world_size=o['processes'])
    batches = Batches(o, rank)
    t = Trainer(o, batches, BPE(train_merges(batches.concepts)), rank)
    if o['resume']:
        t.resume()
    torch.manual_seed(o['seed'] * 1000003 + t.step * o['processes'] + rank)  # of the dropped paths
    if rank == 0:
        describe(t, batches)
    t.net.train()
    sums, begin = collections.Counter(), time.time()
    last = o['steps'] + o['finish']
    while t.step < last:
        for k, v in t.update(batches(t.step)).items():
            sums[k] += v / o['log']
        if t.step % o['log'] == 0:
            now = time.time()
            t.seconds, begin = t.seconds + now - begin, now
            if rank == 0:
                print('step %d, %.1f min | %s | %.3f s a step' % (t.step, t.seconds / 60, ' '.join(
                    '%s %.3f' % x for x in sums.items()), t.seconds / t.step), flush=True)
            sums.clear()
        if t.step % o['evaluate_every'] == 0 or t.step in (o['steps'], last):
            now = time.time()
            t.seconds, begin = t.seconds + now - begin, now
            if rank == 0:
                torch.set_num_threads(o['processes'])
                t.validate()
                t.save()
                torch.set_num_threads(1)
            dist.barrier()
    dist.destroy_process_group()


def main(argv):
    o = options(argv)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, (o, 'file://' + os.path.join(folder, 'ranks')), o['processes'])


if __name__ == '__main__':
    main(sys.argv[1:])
