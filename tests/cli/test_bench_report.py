#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports of `bench` compared and shown: test_bench_report.py PROGRAM

Nothing is measured: the reports are written here, good and broken ones. Standard library only.
"""
import copy
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

from chromium import Browser

PROGRAM = os.path.abspath(sys.argv[1])
RATES = ["fma_f32_gflops", "read_gbps", "write_gbps", "copy_gbps", "host_to_device_gbps",
         "device_to_host_gbps"]
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\x1b[31m"


def report(seed, scale=1.0):
    """A report whose kernels and scenarios take `scale` times as long."""
    rng = random.Random(seed)

    def noise(value, count):
        return [value * (1 + 0.02 * rng.expovariate(1)) for _ in range(count)]

    samples = {name: [1 / v for v in noise(0.01, 9)] for name in RATES}
    samples.update({"launch_us": noise(5.0, 9), "launch_finish_us": noise(30.0, 9), "dot_i8_gops": [],
                    "fma_f16_gflops": []})
    kernels = [{"op": op, "shape": shape, "variant": op + "_rows", "kind": kind, "input": "picture 256 px",
                "batch": 1, "calls": 40, "seconds": 1e-3, "samples_s": noise(1e-3 * scale, 20), "flops": flops,
                "bytes": 1e7, "gflops": flops * 1e-6, "gbps": 10.0, "fraction_of_peak": flops * 1e-8,
                "fraction_of_bandwidth": 0.1, "intensity": flops / 1e7, "bound": "compute", "share": share}
               for op, shape, kind, flops, share in (("matmul", "M=257 N=1536 K=1536", "image", 9e7, 0.8),
                                                     ("layernorm", "R=257 C=1536", "image", 5e6, 0.1))]
    scenarios = [{"scenario": name, "kind": "image", "scope": scope, "input": "picture 256 px", "batch": 1,
                  "items": 30, "items_per_sample": items, "items_per_s": 2.0, "p50_s": 0.5, "p90_s": 0.6,
                  "p99_s": 0.7, "flops_per_item": 7.9e11, "fraction_of_peak": 0.9,
                  "samples_s": noise(0.5 * items * scale, 30), "arrivals_per_s": rate, "device_busy": 0.97}
                 for name, scope, items, rate in (("single_stream", "encoder", 1, None),
                                                  ("single_stream", "end_to_end", 1, None),
                                                  ("offline", "encoder", 4, None),
                                                  ("server", "encoder", 1, 1.4))]
    return {"schema": "onepeace-bench", "version": 1, "created": "2026-01-01T00:00:00Z",
            "program": {"version": "0.1.0", "commit": "abc", "compiler": "gcc"}, "command": ["onepeace", "bench"],
            "environment": {"device": {"name": "A device", "platform": "P", "driver": "1", "global_bytes": 1 << 30},
                            "host": {"cpu": "C", "cores": 2, "os": "O", "kernel": "K"}, "flags": [],
                            "tuning": [{"op": "matmul", "row": "cpu-256", "source": "class"}], "variants": ["x"]},
            "model": {"name": "m", "embed_dim": 64, "layers": 3, "dtype": "f32", "parameters": {"image": 5}},
            "peaks": {**{name: max(samples[name]) for name in RATES}, "fma_f16_gflops": None, "samples": samples},
            "kernels": kernels, "scenarios": scenarios,
            "accuracy": [{"kind": "image", "worst_error": 1e-7, "cosine": 1.0, "tolerance": 2e-5, "against": "reference"}],
            "first_run": {"compile_s": 3.0, "upload_s": 0.5, "weight_bytes": 1000}, "skipped": []}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def bench(self, *args, code=0):
        done = subprocess.run([PROGRAM, "bench", *args], capture_output=True, text=True, errors="replace",
                              timeout=60, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout, done.stderr


class Compare(Case):
    def compare(self, a, b, code=0):
        return self.bench("--compare", self.write("a.json", a), self.write("b.json", b), code=code)

    def lines(self, out, word):
        return [line for line in out.split("\n") if f"  {word}" in line]

    def test_same(self):
        out, err = self.compare(report(1), report(2))
        self.assertIn(" only in A, 0 only in B", out)
        self.assertLessEqual(len(self.lines(out, "faster")) + len(self.lines(out, "slower")), 2, out)
        self.assertIn("0 with too few samples; 0 only in A, 0 only in B", out)
        self.assertEqual(err, "")

    def test_itself(self):
        out, _ = self.compare(report(1), report(1))
        self.assertIn("0 faster, 0 slower, 14 the same within noise", out)

    def test_slower(self):
        out, _ = self.compare(report(1), report(2, scale=1.25))
        slow = self.lines(out, "slower")
        for name in ("matmul M=257", "layernorm R=257", "single_stream, encoder", "offline, encoder", "server"):
            self.assertTrue(any(name in line for line in slow), out)
        for line in slow:
            if "picture" in line:
                self.assertAlmostEqual(float(line.split()[0]), 0.8, delta=0.03)
        out, _ = self.compare(report(2, scale=1.25), report(1))
        self.assertGreaterEqual(len(self.lines(out, "faster")), 6, out)

    def test_rates_and_times(self):
        b = report(1)
        b["peaks"]["samples"]["copy_gbps"] = [2 * v for v in b["peaks"]["samples"]["copy_gbps"]]
        b["peaks"]["samples"]["launch_us"] = [2 * v for v in b["peaks"]["samples"]["launch_us"]]
        out, _ = self.compare(report(1), b)
        self.assertRegex(out, r" 2\.000 .*faster +copy_gbps")
        self.assertRegex(out, r" 0\.500 .*slower +launch_us")

    def test_lists_of_other_sizes(self):
        b = report(1)
        offline = next(s for s in b["scenarios"] if s["scenario"] == "offline")
        offline["items_per_sample"] = 8
        offline["samples_s"] = [2 * v for v in offline["samples_s"]]
        out, _ = self.compare(report(1), b)
        self.assertRegex(out, r" 1\.000 .*offline, encoder")

    def test_unequal(self):
        b = report(1)
        b["environment"]["device"]["driver"] = "2"
        b["environment"]["flags"] = [{"kind": "throttled", "detail": "it was hot"}]
        b["kernels"][0]["variant"] = "matmul_better"
        b["kernels"][1]["shape"] = "R=1"
        b["scenarios"][0]["samples_s"] = [0.5, None]
        out, err = self.compare(report(1), b)
        self.assertIn('device driver: "1" and "2"', err)
        self.assertIn("throttled: it was hot", err)
        self.assertIn("(matmul_rows -> matmul_better)", out)
        self.assertIn("1 with too few samples; 1 only in A, 1 only in B", out)

    def test_hostile_names(self):
        b = report(1)
        b["kernels"][0]["op"] = HOSTILE
        b["environment"]["device"]["name"] = HOSTILE
        out, err = self.compare(b, b)
        self.assertNotIn("\x1b", out + err)

    def test_broken(self):
        good = report(1)

        def changed(change):
            bad = copy.deepcopy(good)
            change(bad)
            return bad

        broken = {
            "no schema": (changed(lambda r: r.pop("schema")), "names no schema"),
            "a list": ([good], "names no schema"),
            "another schema": (changed(lambda r: r.update(schema="mlperf")), '"mlperf"'),
            "no version": (changed(lambda r: r.pop("version")), "no version"),
            "a later version": (changed(lambda r: r.update(version=2)), "version 2"),
            "no JSON": (b"{\"schema\": ", "is no JSON: line 1"),
            "empty": (b"", "is no JSON"),
            "deep": (b"[" * 100000, "is no JSON"),
            "twice": (b'{"schema": "onepeace-bench", "schema": "onepeace-bench"}', "is no JSON"),
            "no peaks": (changed(lambda r: r.pop("peaks")), '"peaks" has no object "samples"'),
            "kernels": (changed(lambda r: r.update(kernels={})), '"kernels" is no list'),
            "kernel": (changed(lambda r: r["kernels"].append(3)), 'entry 2 of "kernels" is no object'),
            "scenarios": (changed(lambda r: r.pop("scenarios")), '"scenarios" is no list'),
            "samples": (changed(lambda r: r["kernels"][0].update(samples_s=3)), "are no list"),
            "text": (changed(lambda r: r["kernels"][0].update(samples_s=[1, "x"])), "sample 1 of"),
            "negative": (changed(lambda r: r["scenarios"][0].update(samples_s=[-1])), "sample 0 of"),
            "zero": (changed(lambda r: r["peaks"]["samples"].update(read_gbps=[0])), "sample 0 of read_gbps"),
            "too many": (changed(lambda r: r.update(kernels=[{}] * 5000)), "5000 entries"),
        }
        for name, (content, says) in broken.items():
            with self.subTest(name):
                for a, b in ((content, good), (good, content)):
                    out, err = self.compare(a, b, code=1)
                    self.assertEqual(out, "")
                    self.assertIn(says, err)
                    self.assertIn("a.json" if a is content else "b.json", err)

    def test_large(self):
        path = os.path.join(self.folder, "large.json")
        with open(path, "wb") as file:
            file.truncate(65 << 20)
        self.assertIn("a report at most", self.bench("--compare", path, path, code=1)[1])
        self.assertIn("not a regular file", self.bench("--compare", "/dev/zero", path, code=1)[1])
        self.assertIn("cannot open", self.bench("--compare", path + "x", path, code=1)[1])

    def test_wrong_use(self):
        path = self.write("a.json", report(1))
        self.bench("--compare", path, code=2)
        self.bench("--compare", path, path, path, code=2)


class Page(Case):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def show(self, content, **view):
        page = os.path.join(self.folder, "page.html")
        self.bench("--report", self.write("r.json", content), "--html", page)
        self.browser.open(page, **view)
        self.assertEqual(self.browser.problems, [])
        self.assertEqual(self.browser.outside(), [])
        return self.browser.run

    def test_everything(self):
        run = self.show(report(1))
        self.assertEqual(run("document.title"), "onepeace bench: A device")
        self.assertEqual(run("document.querySelectorAll('#scenario-table tbody tr').length"), 4)
        self.assertEqual(run("document.querySelectorAll('#kernel-table tbody tr').length"), 2)
        self.assertEqual(run("document.querySelectorAll('#roofline-chart circle').length"), 2)
        self.assertEqual(run("document.querySelectorAll('#latency-chart .curve').length"), 2)
        self.assertEqual(run("document.querySelectorAll('#accuracy-table tbody tr').length"), 1)
        self.assertIn("nothing points to", run("document.getElementById('flags').textContent"))
        run("document.querySelector('#roofline-chart circle').dispatchEvent(new Event('mouseenter'))")
        self.assertIn("matmul M=257", run("document.getElementById('tip').textContent"))
        # Twice the rate is higher, and both lie within the plot.
        self.assertEqual(run("""[...document.querySelectorAll('#roofline-chart circle')].every((dot, i, all) =>
            dot.cy.baseVal.value > 22 && (i === 0 || dot.cy.baseVal.value > all[0].cy.baseVal.value))"""), True)

    def test_sizes_and_schemes(self):
        for width in (360, 768, 1920):
            for scheme in ("light", "dark"):
                run = self.show(report(1), width=width, scheme=scheme)
                self.assertEqual(run("document.documentElement.scrollWidth"), width)

    def test_flags_and_theme(self):
        r = report(1)
        r["environment"]["flags"] = [{"kind": "throttled", "detail": "it was hot"}]
        run = self.show(r)
        self.assertIn("it was hot", run("document.getElementById('flags').textContent"))
        before = run("getComputedStyle(document.body).backgroundColor")
        run("document.getElementById('theme').click(), document.getElementById('theme').click()")
        self.assertNotEqual(run("getComputedStyle(document.body).backgroundColor"), before)

    def test_hostile(self):
        r = report(1)
        for part in (r["kernels"][0], r["scenarios"][0], r["environment"]["device"], r["model"], r["program"]):
            for name in part:
                if isinstance(part[name], str):
                    part[name] = HOSTILE
        r["environment"]["flags"] = [{"kind": HOSTILE, "detail": HOSTILE}]
        run = self.show(r)
        self.assertNotEqual(run("document.title"), "owned")
        self.assertEqual(run("document.querySelectorAll('img').length"), 0)

    def test_little(self):
        r = {"schema": "onepeace-bench", "version": 1, "peaks": {"samples": {}}, "kernels": [], "scenarios": []}
        run = self.show(r)
        self.assertIn("Not measured", run("document.getElementById('scenario-table').textContent"))

    def test_broken(self):
        page = os.path.join(self.folder, "page.html")
        err = self.bench("--report", self.write("r.json", {}), "--html", page, code=1)[1]
        self.assertIn("names no schema", err)
        self.assertFalse(os.path.exists(page))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
