#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of `onepeace bench`: test_bench.py PROGRAM TEST_DATA

What a report says must hang together; how fast the device is must not matter. The device is
ONP_TEST_DEVICE, or the automatic choice.
"""
import datetime
import json
import math
import os
import stat
import sys

from test_cli import BPE, DERIVED, DEVICE, MODEL, Case, main

FAST = ["--quick", "--accuracy", "off"]
PEAKS = ["fma_f32_gflops", "fma_f16_gflops", "dot_i8_gops", "read_gbps", "write_gbps", "copy_gbps",
         "launch_us", "launch_finish_us", "host_to_device_gbps", "device_to_host_gbps"]
TEXT, NUMBER, WHOLE, FLAG, LIST, TABLE = str, float, int, bool, list, dict


def optional(kind):
    return (kind, type(None))


REPORT = {"schema": TEXT, "version": WHOLE, "created": TEXT, "program": TABLE, "command": LIST,
          "environment": TABLE, "model": TABLE, "peaks": TABLE, "kernels": LIST, "scenarios": LIST,
          "accuracy": LIST, "first_run": TABLE, "skipped": LIST}
PROGRAM = {"version": TEXT, "commit": TEXT, "compiler": TEXT}
ENVIRONMENT = {"device": TABLE, "host": TABLE, "flags": LIST, "quirks": TEXT, "tuning": LIST,
               "variants": LIST, "disabled_variants": LIST, "variables": TABLE, "decoders": TEXT}
ENVIRONMENT_DEVICE = {
    "backend": TEXT, "type": TEXT, "platform": TEXT, "name": TEXT, "vendor": TEXT, "driver": TEXT,
    "version": TEXT, "compute_units": WHOLE, "clock_mhz": WHOLE, "memory_bytes": WHOLE,
    "max_alloc_bytes": WHOLE, "local_bytes": WHOLE, "vector_width": WHOLE, "subgroup_size": WHOLE,
    "fp16": FLAG, "unified_memory": FLAG}
HOST = {"cpu": TEXT, "cores": WHOLE, "memory_bytes": WHOLE, "os": TEXT, "kernel": TEXT,
        "clock_mhz": NUMBER, "product": TEXT, "hypervisor": FLAG, "load_before": optional(NUMBER),
        "load_after": optional(NUMBER), "others_share": optional(NUMBER),
        "stolen_share": optional(NUMBER), "run_s": NUMBER}
MODEL_FIELDS = {"name": TEXT, "synthetic": FLAG, "embed_dim": WHOLE, "ffn_dim": WHOLE,
                "layers": WHOLE, "heads": WHOLE, "image_size": WHOLE, "dtype": TEXT,
                "parameters": TABLE, "seed": WHOLE}
KERNEL = {"op": TEXT, "shape": TEXT, "variant": TEXT, "kind": TEXT, "input": TEXT, "batch": WHOLE,
          "calls": WHOLE, "seconds": NUMBER, "median_s": NUMBER, "samples_s": LIST,
          "flops": NUMBER, "bytes": NUMBER, "gflops": NUMBER, "gbps": NUMBER,
          "fraction_of_peak": optional(NUMBER), "fraction_of_bandwidth": optional(NUMBER),
          "intensity": optional(NUMBER), "bound": TEXT, "share": NUMBER}
SCENARIO = {"scenario": TEXT, "kind": TEXT, "scope": TEXT, "input": TEXT, "input_size": NUMBER,
            "batch": WHOLE, "items": WHOLE, "warmup_items": WHOLE, "items_per_sample": WHOLE,
            "items_per_s": NUMBER, "best_s": NUMBER, "p50_s": NUMBER, "p90_s": NUMBER,
            "p99_s": NUMBER, "flops_per_item": NUMBER, "fraction_of_peak": optional(NUMBER),
            "samples_s": LIST, "arrivals_per_s": optional(NUMBER),
            "peak_before_gflops": optional(NUMBER), "peak_after_gflops": optional(NUMBER),
            "device_busy": optional(NUMBER)}
ACCURACY = {"kind": TEXT, "worst_error": NUMBER, "cosine": NUMBER, "tolerance": NUMBER,
            "against": TEXT, "within": FLAG}
FIRST_RUN = {"open_device_s": NUMBER, "open_model_s": NUMBER, "compile_s": NUMBER,
             "upload_s": NUMBER, "first_embedding_s": NUMBER, "weight_bytes": WHOLE,
             "arena_bytes": WHOLE, "peak_rss_bytes": WHOLE, "cache": TEXT, "branches": LIST}
BRANCH = {"kind": TEXT, "compile_s": NUMBER, "upload_s": NUMBER, "first_embedding_s": NUMBER,
          "weight_bytes": WHOLE, "arena_bytes": WHOLE, "max_batch": WHOLE}


class Bench(Case):
    def bench(self, *args, model=("--model", MODEL, "--tokenizer", BPE), **more):
        """The report of a run, every field's presence and type checked."""
        self.run_program("bench", *model, "--device", DEVICE, "--json", "r.json", *args, **more)
        with open(self.path("r.json"), encoding="utf-8") as file:
            report = json.load(file)
        self.check(report, REPORT)
        self.check(report["program"], PROGRAM)
        self.check(report["environment"], ENVIRONMENT)
        self.check(report["environment"]["device"], ENVIRONMENT_DEVICE)
        self.check(report["environment"]["host"], HOST)
        self.check(report["model"], MODEL_FIELDS)
        self.check(report["first_run"], FIRST_RUN)
        for name, fields in (("kernels", KERNEL), ("scenarios", SCENARIO), ("accuracy", ACCURACY)):
            for row in report[name]:
                self.check(row, fields)
        for row in report["first_run"]["branches"]:
            self.check(row, BRANCH)
        self.check(report["peaks"], {**{name: optional(NUMBER) for name in PEAKS},
                                     "samples": TABLE, "methods": TABLE})
        self.clocked = report["environment"]["device"]["backend"] != "ref"
        return report

    def check(self, table, fields):
        self.assertEqual(sorted(table), sorted(fields))
        for name, kind in fields.items():
            self.assertIsInstance(table[name], kind, name)
            if not isinstance(table[name], bool) and isinstance(table[name], (int, float)):
                self.assertTrue(math.isfinite(table[name]) and table[name] >= 0, name)

    def near(self, a, b):
        self.assertLess(abs(a - b), 1e-4 * max(abs(a), abs(b), 1e-12), (a, b))


def quantile(samples, q):
    ascending = sorted(samples)
    place = q * (len(ascending) - 1)
    below = min(int(place), len(ascending) - 2) if len(ascending) > 1 else 0
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (place - below) * (ascending[above] - ascending[below])


class Report(Bench):
    def test_whole(self):
        report = self.bench("--quick")
        self.assertEqual((report["schema"], report["version"]), ("onepeace-bench", 1))
        datetime.datetime.strptime(report["created"], "%Y-%m-%dT%H:%M:%SZ")
        self.assertEqual(report["command"][:2], ["onepeace", "bench"])
        self.assertIn(os.path.basename(MODEL), report["command"])
        self.assertNotIn("/", "".join(report["command"]), "a path of this machine")
        self.assertEqual(report["model"]["seed"], 1)
        self.assertEqual(sorted(report["model"]["parameters"]), ["audio", "image", "text"])
        self.peaks(report["peaks"])
        self.scenarios(report)
        self.kernels(report)
        self.accuracy(report)
        self.first_run(report["first_run"])
        self.environment(report)
        self.table(report)
        self.no_output("r.json")

    def peaks(self, peaks):
        self.assertEqual(sorted(peaks["samples"]), sorted(PEAKS))
        for name in PEAKS:
            samples = peaks["samples"][name]
            self.assertEqual(peaks[name] is None, not samples, name)
            if samples:
                best = min(samples) if name.endswith("_us") else max(samples)
                self.near(peaks[name], best)
        self.assertEqual(peaks["fma_f32_gflops"] is not None, self.clocked)

    def scenarios(self, report):
        rows = report["scenarios"]
        combinations = {(r["input"].split()[0], r["scenario"], r["scope"]) for r in rows}
        for what in "picture", "sound", "text":
            for scenario in "single_stream", "offline", "server":
                for scope in "encoder", "end_to_end":
                    self.assertIn((what, scenario, scope), combinations)
        keys = [(r["input"], r["scenario"], r["scope"], r["batch"]) for r in rows]
        self.assertEqual(len(keys), len(set(keys)))
        for r in rows:
            self.scenario(r)

    def scenario(self, r):
        samples = r["samples_s"]
        self.assertGreaterEqual(len(samples), 2)
        self.assertTrue(all(s > 0 for s in samples), r)
        for field, q in ("p50_s", 0.5), ("p90_s", 0.9), ("p99_s", 0.99), ("best_s", 0.0):
            self.near(r[field], quantile(samples, q))
        self.assertEqual(r["items"], len(samples) * r["items_per_sample"])
        self.assertGreater(r["warmup_items"], 0)
        self.assertEqual(r["items_per_sample"] % r["batch"], 0 if r["scenario"] == "offline" else
                         1 % r["batch"])
        self.assertEqual(r["arrivals_per_s"] is not None, r["scenario"] == "server")
        if r["scenario"] == "server":
            self.assertLess(r["items_per_s"] * r["best_s"], r["items"] + 1)
            self.assertIsNone(r["device_busy"])
        else:
            self.near(r["items_per_s"], r["items_per_sample"] / r["p50_s"])
            self.assertEqual(r["device_busy"] is not None, self.clocked)
        if r["scenario"] == "single_stream":
            self.assertEqual(r["batch"], 1)
        if self.clocked:
            peak = max(r["peak_before_gflops"], r["peak_after_gflops"])
            self.near(r["fraction_of_peak"], r["items_per_s"] * r["flops_per_item"] / peak / 1e9)
            self.assertLess(r["fraction_of_peak"], 100)  # other work may slow the probe
            if r["device_busy"] is not None:
                self.assertTrue(0 < r["device_busy"] <= 1.2, r)

    def kernels(self, report):
        rows = report["kernels"]
        if not self.clocked:
            self.assertEqual(rows, [])
            self.assertIn("kernels", [s["what"] for s in report["skipped"]])
            return
        self.assertTrue({"matmul", "attention", "layernorm"} <= {r["op"] for r in rows})
        self.assertEqual({r["variant"] for r in rows}, set(report["environment"]["variants"]))
        shares = {}
        for r in rows:
            key = r["input"], r["batch"]
            shares[key] = shares.get(key, 0) + r["share"]
            self.assertTrue(0 < len(r["samples_s"]) <= r["calls"], r)
            self.assertLessEqual(r["seconds"], r["median_s"])
            self.assertLess(r["seconds"], 1.0001 * min(r["samples_s"]))
            self.assertIn(r["bound"], ("compute", "memory", "launch"))
            if r["seconds"] > 0:
                self.near(r["gflops"], 1e-9 * r["flops"] / r["seconds"])
                self.near(r["gbps"], 1e-9 * r["bytes"] / r["seconds"])
            self.near(r["fraction_of_peak"], r["gflops"] / report["peaks"]["fma_f32_gflops"])
            self.assertLess(r["fraction_of_peak"], 100)  # other work may slow the probe
        for key, share in shares.items():
            self.near(share, 1)
        measured = {(r["input"], r["batch"]) for r in report["scenarios"]}
        self.assertEqual(set(shares), measured)

    def accuracy(self, report):
        for r in report["accuracy"]:
            self.assertTrue(r["within"] and r["worst_error"] <= r["tolerance"], r)
            self.assertGreater(r["cosine"], 1 - 1e-9)
        if self.clocked:
            self.assertEqual(sorted(r["kind"] for r in report["accuracy"]),
                             ["audio", "image", "text"])
        else:
            self.assertEqual(report["accuracy"], [])

    def first_run(self, first):
        self.assertEqual(sum(b["weight_bytes"] for b in first["branches"]), first["weight_bytes"])
        self.assertEqual(max(b["arena_bytes"] for b in first["branches"]), first["arena_bytes"])
        self.near(sum(b["upload_s"] for b in first["branches"]), first["upload_s"])
        self.assertGreater(first["peak_rss_bytes"], first["weight_bytes"])
        self.assertEqual(first["cache"], "as found")

    def environment(self, report):
        environment = report["environment"]
        for flag in environment["flags"]:
            self.assertIn(flag["kind"], ("virtual", "shared", "throttled"))
            self.assertTrue(flag["detail"])
        self.assertEqual(environment["host"]["cores"], os.cpu_count())
        self.assertTrue(all(t["op"] and t["row"] and t["source"] for t in environment["tuning"]))
        self.assertNotIn(self.dir, json.dumps(environment))

    def table(self, report):
        for head in "Model ", "Device ", "Host ", "Scenarios", "Accuracy", "First run":
            self.assertIn("\n" + head, "\n" + self.out)
        for r in report["scenarios"]:
            self.assertRegex(self.out, rf"{r['input']} +{r['scenario']} +{r['scope']} +{r['batch']} ")

    def test_choices(self):
        report = self.bench(*FAST, "--kind", "text,image", "--scenario", "offline", "--batch", "2",
                            "--min-samples", "4", "--dtype", "f16", "--seed", "9")
        self.assertEqual({(r["kind"], r["scenario"], r["batch"]) for r in report["scenarios"]},
                         {(k, "offline", b) for k in ("text", "image") for b in (1, 2)})
        self.assertTrue(all(len(r["samples_s"]) >= 4 for r in report["scenarios"]))
        self.assertEqual((report["model"]["dtype"], report["model"]["seed"]), ("f16", 9))
        self.assertEqual(report["accuracy"], [])
        self.assertEqual({b["kind"] for b in report["first_run"]["branches"]}, {"text", "image"})

    def test_synthetic(self):
        report = self.bench(*FAST, "--kind", "text,image", "--scenario", "single_stream",
                            model=("--synthetic", "micro"))
        self.assertTrue(report["model"]["synthetic"])
        self.assertTrue(report["model"]["name"].startswith("synthetic"), report["model"])
        # It has no tokenizer.
        self.assertEqual({(r["kind"], r["scope"]) for r in report["scenarios"]},
                         {("text", "encoder"), ("image", "encoder"), ("image", "end_to_end")})
        self.assertTrue(any("tokenizer" in s["why"] for s in report["skipped"]))

    def test_cold(self):
        report = self.bench(*FAST, "--kind", "image", "--scenario", "single_stream", "--cold")
        self.assertEqual(report["first_run"]["cache"], "cold")

    def test_existing_file(self):
        self.write("r.json", "old")
        os.chmod(self.path("r.json"), 0o640)
        self.bench(*FAST, "--kind", "image", "--scenario", "single_stream", "--quiet")
        self.assertEqual(self.err, "")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("r.json")).st_mode), 0o640)
        self.no_output("r.json")


class Wrong(Bench):
    def wrong(self, words, *args, code=2):
        self.fails(code, words, "bench", "--model", MODEL, "--device", "ref", *args)

    def test_options(self):
        self.wrong(["--kind", "video", "image"], "--kind", "image,video")
        self.wrong("--kind", "--kind", ",")
        self.wrong(["--scenario", "warp", "offline"], "--scenario", "warp")
        self.wrong("--accuracy", "--accuracy", "some")
        self.wrong("--batch", "--batch", "0")
        self.wrong("--seconds", "--seconds", "0")
        self.wrong("--min-samples", "--min-samples", "x")
        self.wrong(["--cold", "--cache-dir"], "--cold", "--cache-dir", "x")
        self.wrong(["--cold", "--no-cache"], "--cold", "--no-cache")
        self.wrong("unexpected argument", "folder")
        self.wrong(["--model", "--synthetic"], "--synthetic", "micro")
        self.fails(2, "large", "bench", "--device", "ref", "--synthetic", "large")

    def test_missing(self):
        self.wrong("no image branch", "--kind", "image", "--model", DERIVED + "/text_only_fp16.pt",
                   code=1)
        self.wrong("nowhere.pt", "--model", "nowhere.pt", code=1)

    def test_outputs(self):
        os.mkdir(self.path("folder"))
        self.wrong(["folder", "is a folder"], "--json", "folder", code=1)
        self.wrong("nowhere", "--json", "nowhere/r.json", code=1)
        self.wrong("not a regular file", "--json", "/dev/full", code=1)
        self.no_output("folder")


if __name__ == "__main__":
    sys.exit(main())
