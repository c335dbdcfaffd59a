#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of unusual and lying model files: test_models.py PROGRAM TEST_DATA

Rewrites a converted checkpoint and looks at what the program says of it. All runs on `ref`.
"""
import json
import math
import struct
import sys

from test_cli import BPE, MODEL, PICTURE, SOUND, Case, main, rows_of, write_npy

ENCODER = "encoder_wrapper."
SPEC = [(32, 10, 5)] + [(32, 3, 2)] * 4 + [(32, 2, 2)] * 2


class Changed(Case):
    """Each test changes tensors or the specification of a good file."""

    def setUp(self):
        super().setUp()
        self.run_program("convert", MODEL, self.path("good.safetensors"))
        with open(self.path("good.safetensors"), "rb") as file:
            data = file.read()
        size = struct.unpack_from("<Q", data)[0]
        header = json.loads(data[8:8 + size])
        self.metadata = header.pop("__metadata__")
        self.tensors = {}
        for name, info in header.items():
            begin, end = (8 + size + offset for offset in info["data_offsets"])
            self.tensors[name] = [info["dtype"], info["shape"], data[begin:end]]

    def set(self, name, shape):
        """A tensor of small values in place of another."""
        count = math.prod(shape)
        values = [0.001 * (i % 97 - 48) for i in range(count)]
        self.tensors[name] = ["F32", shape, struct.pack(f"<{count}f", *values)]

    def set_spec(self, spec):
        config = json.loads(self.metadata["onepeace.config"])
        for holder in (config["model"]["encoder"]["audio_adapter"], config["task"]):
            holder["feature_encoder_spec"] = str(spec)
        self.metadata["onepeace.config"] = json.dumps(config)

    def save(self):
        header, offset = {"__metadata__": self.metadata}, 0
        for name, (dtype, shape, data) in self.tensors.items():
            header[name] = {"dtype": dtype, "shape": shape,
                            "data_offsets": [offset, offset + len(data)]}
            offset += len(data)
        text = json.dumps(header).encode()
        parts = [struct.pack("<Q", len(text)), text] + [t[2] for t in self.tensors.values()]
        return self.write("changed.safetensors", b"".join(parts))

    def refused(self, *words):
        self.fails(1, ["changed.safetensors", *words], "info", self.save())

    def embeds(self, *items):
        self.run_program("embed", "--model", self.save(), "--tokenizer", BPE, "--device", "ref",
                         "-o", self.path("out.npy"), *items)
        return rows_of(self.path("out.npy"))

    def test_specification_that_fits_no_tensor(self):
        self.set_spec([(65536, 65536, 65536)] * 16)
        self.refused("feature_encoder_spec", "conv_layers.0.0.weight")

    def test_specification_without_a_frame(self):
        self.set_spec([(c, k, 60000) for c, k, _ in SPEC])
        self.refused("feature_encoder_spec", "no frame")

    def test_specification_that_calls_something(self):
        self.set_spec("__import__('os').system('touch ran')")
        self.refused("feature_encoder_spec", "cannot be read")
        self.no_output("changed.safetensors", "good.safetensors")

    def test_frames_reach_the_limit_before_the_clip_does(self):
        """Half of the usual stride: 15 s would be 1499 frames, and 1023 is the limit."""
        self.set_spec(SPEC[:4] + [(32, 3, 1)] + SPEC[5:])
        write_npy(self.path("long.npy"), [240000], [math.sin(i) for i in range(240000)])
        self.assertEqual(len(self.embeds("--audio", SOUND)), 1)
        self.fails(1, ["long.npy", "1023"], "embed", "--model", self.save(), "--device", "ref",
                   "--audio", self.path("long.npy"), "-o", self.path("none.npy"))
        memory = json.loads(self.run_program("info", "--json", self.save()))
        usual = json.loads(self.run_program("info", "--json", MODEL))
        arenas = [m["branches"]["audio"]["memory"]["f32"]["arena_bytes"] for m in (memory, usual)]
        self.assertLess(arenas[0], 1.1 * arenas[1])

    def test_a_frame_longer_than_a_second(self):
        self.set_spec([(c, k, 3 * s) for c, k, s in SPEC[:5]] + SPEC[5:])
        write_npy(self.path("long.npy"), [240000], [math.sin(i) for i in range(240000)])
        self.assertEqual(len(self.embeds("--audio", self.path("long.npy"))), 1)

    def test_more_text_positions_than_a_sequence_has(self):
        name = ENCODER + "text_adapter.embed_positions.weight"
        usual = self.embeds("--text", "cow")
        dtype, shape, data = self.tensors[name]
        self.tensors[name] = [dtype, [2000, shape[1]], data + bytes(4 * (2000 - shape[0]) * shape[1])]
        self.assertEqual(self.embeds("--text", "cow"), usual)
        self.set(name, [1, shape[1]])
        self.refused("embed_positions", "one row")

    def test_picture_sides(self):
        table = ENCODER + "image_adapter.rel_pos_table_list.0.weight"
        heads = self.tensors[table][1][1]
        self.set(table, [(2 * 2 - 1) ** 2 + 3, heads])
        self.assertEqual(len(self.embeds("--image", PICTURE)), 1)
        self.set(table, [(2 * 129 - 1) ** 2 + 3, heads])
        self.refused("2064 pixels", "at most 2048")

    def test_batches_beyond_what_there_is(self):
        """A batch has no room for items that do not come, and its plan does not fill the host."""
        lines = "\n".join(f"audio\t{SOUND}" for _ in range(3))
        rows = [self.embeds("--input", self.write("list", lines), "--batch", str(batch))
                for batch in (1, 3, 65536)]
        self.assertEqual(rows[1], rows[2])
        self.assertLess(max(abs(a - b) for x, y in zip(rows[0], rows[1], strict=True)
                            for a, b in zip(x, y, strict=True)), 1e-6)

    def test_info_of_a_branch_that_lacks_weights(self):
        layer = ENCODER + "fusion_model.layers.1."
        names = [layer + "gamma_2"] + [layer + f"audio_ffn.{part}" for part in (
            "0.wi_0.weight", "2.weight", "2.bias", "3.weight", "3.bias")]
        del self.tensors[names[1]]
        out = self.run_program("info", self.save())
        self.assertIn("  audio  in the file, but it cannot embed:\n", out)
        self.assertRegex(out, r"changed.safetensors lacks 1 weight .*:\n +" + names[1] + r"\n")
        self.assertNotIn("...", out)
        branches = json.loads(self.run_program("info", "--json", self.save()))["branches"]
        self.assertIn(names[1], branches["audio"]["lacks"])
        self.assertNotIn("lacks", branches["text"])
        for name in names[2:]:
            del self.tensors[name]
        del self.tensors["audio_proj.weight"], self.tensors["audio_proj.bias"]
        out = self.run_program("info", self.save())
        self.assertIn("lacks 7 weights", out)
        self.assertEqual(out.count("audio_ffn") + out.count("audio_proj"), 5)
        self.assertIn("\n           ...\n", out)
        self.assertEqual(out.count("cannot embed"), 1)
        del self.tensors[names[0]]  # every branch needs it
        out = self.run_program("info", self.save())
        self.assertEqual(out.count("cannot embed"), 3)
        self.assertEqual(out.count(names[0] + "\n"), 3)

    def test_missing_and_unfit_weights(self):
        name = ENCODER + "fusion_model.layers.1.gamma_2"
        dtype, shape, data = self.tensors.pop(name)
        items = ["--text", "cow", "-o", self.path("none.npy")]
        run = ["embed", "--tokenizer", BPE, "--device", "ref", "--model"]
        self.fails(1, ["lacks 1 weight that", name], *run, self.save(), *items)
        self.tensors[name] = [dtype, [shape[0], 1], data]
        self.fails(1, ["wrong shape or type", name], *run, self.save(), *items)
        self.tensors[name] = ["I32", shape, data]
        self.fails(1, ["wrong shape or type", name, "i32"], *run, self.save(), *items)
        self.tensors[name] = [dtype, shape, struct.pack("<f", math.nan) * shape[0]]
        self.fails(1, ["--text 'cow'", "not finite"], *run, self.save(), *items)
        self.no_output("changed.safetensors", "good.safetensors")


if __name__ == "__main__":
    sys.exit(main())
