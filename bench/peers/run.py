# SPDX-License-Identifier: Apache-2.0
"""Times the encoder beside other frameworks, all interleaved in one go. See run.sh and --help.

Every framework runs in a process of its own that stays loaded, has the same prepared inputs in
memory and answers how long one run took. They take turns, one run each, round after round, so that
whatever else happens on the machine meets all of them. Before timing, every row is compared with
ours. One case after the other, each with processes of its own: frameworks keep a copy of the weights
for every shape.
"""
import argparse
import contextlib
import datetime
import fcntl
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import numpy

from model import Weights

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOLERANCE = 1e-4     # worst difference of an embedding's element, float32 against float32
WINDOW_SECONDS = 75  # the locks are given up for a moment after so long
# name, kind, items at once, token ids or samples of one item, rounds for each of --rounds
CASES = [
    ('picture', 'image', 1, 0, 1.0), ('picture offline', 'image', 4, 0, 0.4),
    ('sound 15 s', 'audio', 1, 240000, 0.6), ('sound 15 s offline', 'audio', 2, 240000, 0.3),
    ('text 70', 'text', 1, 70, 1.5), ('text 70 offline', 'text', 16, 70, 0.4),
    ('text 10', 'text', 1, 10, 2.0), ('text 10 offline', 'text', 64, 10, 0.4),
]
PEERS = 'ours,eager,compile,onnxruntime,openvino'
UNSET = ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS')


class Process:
    """A resident framework: 'ours', 'ours-f16', 'openvino', 'onnxruntime-int8' ..."""

    def __init__(self, name, options, environment):
        self.name = name
        framework, _, precision = name.partition('-')
        if framework == 'ours':
            command = [options.ours, options.model, precision or 'f32']
        else:
            command = [sys.executable, os.path.join(HERE, 'worker.py'), framework, options.model,
                       str(options.threads), precision or 'f32']
        self.log = os.path.join(options.work, name + '.log')
        with open(self.log, 'w', encoding='utf-8') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=log, text=True, env=environment)
        self.version = self.answer()

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line:
            self.fail()
        return line

    def fail(self):
        status = self.process.wait()
        with open(self.log, encoding='utf-8', errors='replace') as log:
            text = log.read()[-3000:]
        why = f'ended by signal {-status}' if status < 0 else f'ended with status {status}'
        hint = ' (9: short of memory?)' if status == -9 else ''
        sys.exit(f'{self.name} {why}{hint}; its last words:\n{text}')

    def ask(self, *words):
        try:
            self.process.stdin.write(' '.join(map(str, words)) + '\n')
            self.process.stdin.flush()
        except BrokenPipeError:
            self.fail()
        return self.answer()

    def processor_seconds(self):
        with open(f'/proc/{self.process.pid}/stat', encoding='ascii') as stat:
            fields = stat.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


class Locks:
    """Files to lock, shared while preparing and exclusively while measuring (--lock)."""

    def __init__(self, paths):
        self.files = [open(p, 'a', encoding='ascii') for p in paths]
        self.since = None

    def take(self, mode):
        self.release()
        for f in self.files[:-1]:
            fcntl.flock(f, fcntl.LOCK_EX)
        for f in self.files[-1:]:
            fcntl.flock(f, mode)
        if mode == fcntl.LOCK_SH:
            for f in self.files[:-1]:
                fcntl.flock(f, fcntl.LOCK_UN)
        self.since = time.monotonic() if mode == fcntl.LOCK_EX else None

    def window(self):
        """Exclusive from now on; True if others may have worked in between."""
        if self.since and time.monotonic() - self.since < WINDOW_SECONDS:
            return False
        self.take(fcntl.LOCK_EX)
        return True

    def release(self):
        self.since = None
        for f in reversed(self.files):
            fcntl.flock(f, fcntl.LOCK_UN)


# --- What is run ----------------------------------------------------------------------------------

def make_model(options):
    options.model = options.model or os.path.join(options.work, f'full-{options.layers}.safetensors')
    if not os.path.exists(options.model):
        subprocess.run([options.make_model, options.model, f'layers={options.layers}', 'dtype=f32',
                        f'seed={options.seed}'], check=True)


def make_input(options, weights, kind, count, length, seed):
    """Raw values in a file: noise, seeded; how large values are does not change the time."""
    rng = numpy.random.default_rng(seed)
    if kind == 'text':
        vocabulary = len(weights('encoder_wrapper.text_adapter.embed_tokens.weight'))
        values = rng.integers(4, vocabulary, count * length).astype('i4')
    else:
        length = 3 * (16 * weights.side) ** 2 if kind == 'image' else length
        values = rng.standard_normal(count * length).astype('f4')
    path = os.path.join(options.work, f'{kind}-{count}-{length}.bin')
    values.tofile(path)
    return path, length


def flops(weights, kind, length):
    """Of one item: products, convolutions and attention, a multiplication and an addition each."""
    encoder = weights.config['model']['encoder']
    d, f, t = weights.dim, encoder['ffn_embed_dim'], weights.positions(kind, length)
    total = weights.layers * (2 * t * (4 * d * d + 3 * d * f) + 4 * t * t * d) + 2 * d * d
    if kind == 'image':
        patches, q = t - 1, d // 4
        total += 2 * (16 * patches * 48 * q + 4 * patches * 4 * q * q + patches * 4 * q * d)
    if kind == 'audio':
        before, frames = 1, length
        for width, kernel, stride in weights.wave_spec():
            frames = (frames - kernel) // stride + 1
            total += 2 * frames * width * before * kernel
            before = width
        total += 2 * frames * before * d + 5 * 2 * frames * d * (d // 16) * 19
    return float(total)


# --- One kind of input ----------------------------------------------------------------------------

def prepare(processes, options, weights, case, index, locks):
    name, kind, count, length, _ = case
    locks.take(fcntl.LOCK_SH)
    path, length = make_input(options, weights, kind, count, length, options.seed + index)
    key = name.replace(' ', '_')
    report = dict(case=name, kind=kind, batch=count, positions=weights.positions(kind, length),
                  flops_per_item=flops(weights, kind, length), results={})
    rows = {}
    for p in processes:
        answer = p.ask('add', key, kind, count, length, path).partition(' ')[2]
        out = os.path.join(options.work, p.name + '.rows')
        p.ask('rows', key, out)
        rows[p.name] = numpy.fromfile(out, 'f4').reshape(count, -1).astype('f8')
        report['results'][p.name] = dict(json.loads(answer) if answer else {}, samples_s=[])
    for p in processes:
        result = report['results'][p.name]
        result['worst_difference'] = float(abs(rows[p.name] - rows['ours']).max())
        result['cosine'] = float((rows[p.name] * rows['ours']).sum(1).min())
        print(f'{name}: {p.name}: {result.get("setting", "")} '
              f'difference {result["worst_difference"]:.1e}', flush=True)
        if '-' not in p.name and not result['worst_difference'] < TOLERANCE:
            sys.exit(f'{name}: {p.name} differs from us by {result["worst_difference"]:.2e}')
    return report


def measure(processes, report, rounds, locks, peaks):
    """Rounds of one run each. `peaks` gets the float32 fma rate before and after."""
    key = report['case'].replace(' ', '_')

    def peak(when):
        rate = float(processes[0].ask('peak'))
        peaks.append(dict(case=report['case'], when=when, gflops=rate))
    idle = 0.0
    for done in range(rounds):
        if locks.window() or done == 0:
            for p in processes:
                p.ask('run', key)
            peak('before')
        turn = done % len(processes)
        for p in processes[turn:] + processes[:turn]:
            others = [q for q in processes if q is not p]
            before = sum(q.processor_seconds() for q in others)
            report['results'][p.name]['samples_s'].append(float(p.ask('run', key)))
            idle += sum(q.processor_seconds() for q in others) - before
            time.sleep(0.02)  # threads that wait actively for a while have stopped by then
    peak('after')
    report['idle_processor_s'] = idle  # of all processes whose turn it was not


def summarize(report, peaks):
    mine = report['results']['ours']['samples_s']
    peak = max(p['gflops'] for p in peaks if p['case'] == report['case'])
    for result in report['results'].values():
        samples = result['samples_s']
        ratios = [a / b for a, b in zip(samples, mine)]
        result.update(best_s=min(samples), p50_s=statistics.median(samples),
                      items_per_s=report['batch'] / statistics.median(samples),
                      fraction_of_peak=report['flops_per_item'] * report['batch'] * 1e-9 / peak /
                      statistics.median(samples),
                      time_over_ours=dict(p50=statistics.median(ratios), min=min(ratios),
                                          max=max(ratios), of_best=min(samples) / min(mine)))


def run_case(index, options, weights, environment, locks, report):
    case = CASES[index]
    with contextlib.ExitStack() as stack:
        processes = []
        for name in options.peers.split(','):
            processes.append(Process(name, options, environment))
            stack.callback(processes[-1].close)
        report['versions'].update({p.name: p.version for p in processes})
        entry = prepare(processes, options, weights, case, index, locks)
        measure(processes, entry, max(2, round(case[4] * options.rounds)), locks, report['peaks'])
        summarize(entry, report['peaks'])
        report['cases'].append(entry)
        print(table(entry), flush=True)
        locks.release()


# --- Report ---------------------------------------------------------------------------------------

def machine(options):
    with open('/proc/cpuinfo', encoding='ascii') as info:
        lines = [line.partition(':')[2].strip() for line in info
                 if line.startswith(('model name', 'flags'))]
    wanted = ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16', 'avx_vnni', 'avx512_vnni', 'hypervisor')
    flags = lines[1].split() if len(lines) > 1 else []
    return dict(cpu=lines[0], cores=os.cpu_count(), threads=options.threads,
                instructions=[w for w in wanted if w in flags], os=platform.platform(),
                python=platform.python_version())


def table(entry):
    one, count = entry['flops_per_item'], entry['batch']
    lines = [f'{entry["case"]}: {count} item{"s" * (count > 1)} of {entry["positions"]} positions, '
             f'{one * count * 1e-9:.1f} GFLOP, {len(entry["results"]["ours"]["samples_s"])} rounds',
             f'  {"":<18}{"best ms":>9}{"median":>9}{"items/s":>9}{"of peak":>9}'
             f'{"time / ours":>13}{"min":>7}{"max":>7}{"difference":>12}  setting']
    for name, r in entry['results'].items():
        ratio = r['time_over_ours']
        lines.append(f'  {name:<18}{r["best_s"] * 1e3:9.1f}{r["p50_s"] * 1e3:9.1f}'
                     f'{r["items_per_s"]:9.2f}{r["fraction_of_peak"]:9.2f}{ratio["p50"]:13.2f}'
                     f'{ratio["min"]:7.2f}{ratio["max"]:7.2f}{r["worst_difference"]:12.1e}'
                     f'  {r.get("setting", "")}')
    return '\n'.join(lines) + '\n'


def text(report):
    e, rates = report['environment'], [p['gflops'] for p in report['peaks']]
    lines = ['The same encoder with the same weights in several frameworks, interleaved in one run.',
             f'{e["cpu"]}, {e["cores"]} cores, {e["threads"]} threads, {" ".join(e["instructions"])}',
             'model: {dim} wide, {layers} layers, seed {seed}, float32'.format(**report['model']),
             f'float32 fma peak: {min(rates):.0f} to {max(rates):.0f} GFLOP/s over '
             f'{len(rates)} probes before and after each case',
             *(f'{name}: {version}' for name, version in report['versions'].items()),
             'time / ours: median, least and greatest of the rounds; above 1: we are faster.', '']
    return '\n'.join(lines) + '\n' + '\n'.join(table(c) for c in report['cases'])


def save(options, report):
    with open(options.out + '.json', 'w', encoding='utf-8') as f:
        json.dump(report, f, indent=1)
    with open(options.out + '.txt', 'w', encoding='utf-8') as f:
        f.write(text(report))


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--out', help='report without its ending (default: in the work folder)')
    a.add_argument('--layers', type=int, default=4, help='of the model that is made (1 to 40)')
    a.add_argument('--model', help='a safetensors file instead, as onepeace convert writes it')
    a.add_argument('--seed', type=int, default=1)
    a.add_argument('--peers', default=PEERS, help=f'in the order of turns; ours first ({PEERS}; also '
                   'ours-f16, eager-int8, onnxruntime-int8, openvino-bf16)')
    a.add_argument('--kinds', default='image,audio,text', help='in this order')
    a.add_argument('--batches', choices=('all', 'one', 'offline'), default='all')
    a.add_argument('--rounds', type=int, default=8, help='about so many; offline fewer')
    a.add_argument('--threads', type=int, default=os.cpu_count())
    a.add_argument('--explore', action='store_true', help='try every setting of every framework')
    a.add_argument('--lock', action='append', default=[], metavar='FILE', help='hold a shared lock on '
                   'the last file while preparing, exclusive ones on all while measuring')
    a.add_argument('--work', default=os.path.join(HERE, '.work'), help='folder for models and caches')
    a.add_argument('--build', default=os.path.join(ROOT, 'build'), help='Meson build folder')
    options = a.parse_args()
    if options.peers.split(',')[0] != 'ours':
        a.error('--peers begins with ours')
    options.ours = os.path.join(options.build, 'bench/onepeace-bench-ours')
    options.make_model = os.path.join(options.build, 'tests/golden/onepeace-make-model')
    options.out = options.out or os.path.join(options.work, 'peers')
    return options


def main():
    options = arguments()
    os.makedirs(options.work, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k not in UNSET}
    environment.update(PEERS_TMP=options.work, PEERS_EXPLORE='1' if options.explore else '',
                       TORCHINDUCTOR_CACHE_DIR=os.path.join(options.work, 'inductor'))
    locks = Locks(options.lock)
    make_model(options)
    weights = Weights(options.model)
    report = dict(schema='onepeace-peers', version=1, environment=machine(options), versions={},
                  created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
                  model=dict(dim=weights.dim, layers=weights.layers, seed=options.seed),
                  peaks=[], cases=[])
    wanted = dict(all=(True, False), one=(True,), offline=(False,))[options.batches]
    for kind in options.kinds.split(','):
        for i, case in enumerate(CASES):
            if case[1] == kind and (case[2] == 1) in wanted:
                run_case(i, options, weights, environment, locks, report)
                save(options, report)
    print('written:', options.out + '.json', options.out + '.txt')


main()
