# SPDX-License-Identifier: Apache-2.0
"""One framework as a resident process with the commands of ours.c: add, run and rows.

    worker.py FRAMEWORK MODEL.safetensors THREADS [PRECISION]

FRAMEWORK is eager, compile, onnxruntime or openvino. `add` builds the case in each of the
framework's settings, times them, keeps the fastest and answers "ok" with what it tried as JSON;
unless PEERS_EXPLORE is set only the first setting, which is the one that won on the machines tried. PRECISION int8 quantizes the linear layers dynamically where the framework can.
"""
import json
import os
import sys
import tempfile
import time

import numpy
import torch

from model import Encoder, Weights

TRIES = 3  # timings of a setting after two runs to warm up


class Eager:
    settings = ('default', 'onednn off', 'channels last')

    def build(self, encoder, kind, x, setting, _threads):
        onednn = setting != 'onednn off'
        if setting == 'channels last':
            if kind != 'image':
                return None
            encoder = encoder.to(memory_format=torch.channels_last)
            x = x.to(memory_format=torch.channels_last)

        def run():
            with torch.backends.mkldnn.flags(enabled=onednn), torch.inference_mode():
                return encoder(x).numpy()
        return run


class EagerInt8(Eager):
    settings = ('x86', 'onednn')

    def build(self, encoder, kind, x, setting, threads):
        torch.backends.quantized.engine = setting
        encoder = torch.ao.quantization.quantize_dynamic(encoder, {torch.nn.Linear}, torch.qint8)
        return super().build(encoder, kind, x, 'default', threads)


class Compile:
    settings = ('freezing', 'default', 'freezing, max-autotune')

    def build(self, encoder, _kind, x, setting, _threads):
        import torch._inductor.config as inductor
        torch._dynamo.reset()
        inductor.freezing = 'freezing' in setting
        inductor.cpp.weight_prepack = True
        mode = 'max-autotune-no-cudagraphs' if 'autotune' in setting else 'default'
        compiled = torch.compile(encoder, mode=mode, dynamic=False, fullgraph=True)

        def run():
            with torch.no_grad():
                return compiled(x).numpy()
        return run


class OnnxRuntime:
    settings = ('opset 20, transformers optimizer', 'opset 20', 'opset 23')
    quantize = False

    def export(self, encoder, x, opset, folder):
        path = os.path.join(folder, f'{opset}.onnx')
        if not os.path.exists(path):
            with torch.inference_mode(False):
                torch.onnx.export(encoder, (x,), path, dynamo=True, opset_version=opset,
                                  input_names=['x'], output_names=['rows'], external_data=True,
                                  verbose=False)
        return path

    def build(self, encoder, kind, x, setting, threads):
        import onnxruntime
        with tempfile.TemporaryDirectory(dir=os.environ.get('PEERS_TMP')) as folder:
            path = self.export(encoder, x, int(setting.split()[1].rstrip(',')), folder)
            if 'transformers' in setting:
                from onnxruntime.transformers import optimizer
                fused = optimizer.optimize_model(path, 'bert', num_heads=encoder.layers[0].heads,
                                                 hidden_size=encoder.proj.in_features)
                path = os.path.join(folder, 'fused.onnx')
                fused.save_model_to_file(path, use_external_data_format=True)
            if self.quantize:
                from onnxruntime import quantization
                quantization.quantize_dynamic(path, path + '.int8', op_types_to_quantize=['MatMul', 'Gemm'],
                                              per_channel=True, reduce_range=True, use_external_data_format=True)
                path += '.int8'
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
            options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
            options.add_session_config_entry('session.force_spinning_stop', '1')
            options.add_session_config_entry('session.set_denormal_as_zero', '1')
            session = onnxruntime.InferenceSession(path, options, ['CPUExecutionProvider'])
        feed = {session.get_inputs()[0].name: x.numpy()}
        return lambda: session.run(None, feed)[0]


class OnnxRuntimeInt8(OnnxRuntime):
    settings = ('opset 20',)
    quantize = True


class OpenVino:
    settings = ('latency', 'throughput', 'throughput, items apart')
    precision = 'f32'

    def build(self, encoder, _kind, x, setting, threads):
        import openvino as ov
        apart = 'apart' in setting
        if apart and len(x) == 1:
            return None
        example = x[:1] if apart else x
        model = ov.convert_model(encoder, example_input=example,
                                 input=[ov.PartialShape(list(example.shape))])
        core = ov.Core()
        config = {'PERFORMANCE_HINT': setting.split(',')[0].upper(), 'INFERENCE_NUM_THREADS': threads,
                  'INFERENCE_PRECISION_HINT': self.precision}
        compiled = core.compile_model(model, 'CPU', config)
        values = x.numpy()
        if not apart:
            request = compiled.create_infer_request()
            return lambda: request.infer({0: values}, share_inputs=True)[0]
        queue, rows = ov.AsyncInferQueue(compiled), numpy.empty((len(x), encoder.proj.out_features), 'f4')

        def keep(request, index):
            rows[index] = request.get_output_tensor().data[0]
        queue.set_callback(keep)

        def run():
            for i in range(len(values)):
                queue.start_async({0: values[i:i + 1]}, i)
            queue.wait_all()
            return rows
        return run


class OpenVinoBf16(OpenVino):
    precision = 'bf16'


FRAMEWORKS = {('eager', 'f32'): Eager, ('eager', 'int8'): EagerInt8, ('compile', 'f32'): Compile,
              ('onnxruntime', 'f32'): OnnxRuntime, ('onnxruntime', 'int8'): OnnxRuntimeInt8,
              ('openvino', 'f32'): OpenVino, ('openvino', 'bf16'): OpenVinoBf16}


def version(framework):
    if framework in ('eager', 'compile'):
        return 'PyTorch ' + torch.__version__
    return framework + ' ' + __import__(framework).__version__


class Server:
    def __init__(self, framework, path, threads, precision):
        self.framework, self.path, self.threads = FRAMEWORKS[framework, precision](), path, threads
        self.weights, self.cases = Weights(path), {}

    def add(self, name, kind, count, length, file):
        count, length = int(count), int(length)
        values = torch.from_numpy(numpy.fromfile(file, 'i4' if kind == 'text' else 'f4'))
        if kind == 'image':
            side = self.weights.side * 16
            values = values.view(count, 3, side, side)
        else:
            values = values.view(count, length)
        if kind == 'text':
            values = values.long()
        tried, best = {}, None
        everything = bool(os.environ.get('PEERS_EXPLORE'))
        for setting in self.framework.settings if everything else self.framework.settings[:1]:
            start = time.perf_counter()
            try:
                encoder = Encoder(self.path, kind, self.weights.positions(kind, length))
                run = self.framework.build(encoder, kind, values, setting, self.threads)
                if run is None:
                    continue
                run()
            except Exception as error:  # a setting that does not work is an answer, too
                tried[setting] = dict(failed=f'{type(error).__name__}: {error}'[:300])
                continue
            ready = time.perf_counter() - start
            run()
            seconds = min(timed(run)[0] for _ in range(TRIES))
            tried[setting] = dict(seconds=seconds, ready_s=ready)
            if best is None or seconds < best[0]:
                best = seconds, setting, run
            del encoder, run
        if best is None:
            raise RuntimeError(f'{name}: no setting works: {tried}')
        self.cases[name] = best[2]
        return 'ok ' + json.dumps(dict(setting=best[1], tried=tried))

    def run(self, name):
        return f'{timed(self.cases[name])[0]:.9f}'

    def rows(self, name, file):
        seconds, rows = timed(self.cases[name])
        numpy.ascontiguousarray(rows, 'f4').tofile(file)
        return f'{seconds:.9f}'


def timed(run):
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def main(argv):
    framework, path, threads = argv[1], argv[2], int(argv[3])
    torch.set_num_threads(threads)
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what frameworks print goes to stderr
    server = Server(framework, path, threads, argv[4] if len(argv) > 4 else 'f32')
    print(version(framework), file=answers, flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        print(getattr(server, command)(*args), file=answers, flush=True)


main(sys.argv)
