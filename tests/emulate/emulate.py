#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Executes the AMD machine code of the GPU kernels, without a GPU, and compares it with the C
references.

usage: emulate.py [--jobs N] [--target gfxN]... [--only TEXT] [--timeout S] TINYGRAD CASES

For RDNA3, RDNA4 and CDNA3: every variant that a GPU accepts, on every case of its op's table but
the slow ones, for the tile rows of that kind of GPU, of a small one and of the least one. CASES is
tests/emulate/emulate_cases of a build, TINYGRAD a checkout of tinygrad. First, planted faults must
be found.

A line for each: the worst error of the op's tolerance; the instructions that its waves executed; the
same times the lanes of a wave, for each FLOP of the formula (0.5 is the least there is for fused
multiply and add alone, or less with dual instructions); the share of instructions that were fused
multiply and add, dual ones counted twice. The last line is "N executed, N passed, N failed"; exit
status 1 if one failed or a planted fault went through.
"""
import argparse
import json
import os
import queue
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLANG, HOST_CLANG = "clang-19", "clang-15"
LIBRARIES = ["/usr/lib/x86_64-linux-gnu/amdgcn/bitcode", "/usr/lib/aarch64-linux-gnu/amdgcn/bitcode",
             "/opt/rocm/amdgcn/bitcode"]
CLASSES = {"gfx1100": ["wave32", "pinned32"], "gfx1200": ["wave32", "pinned32"],
           "gfx942": ["wave64", "pinned64"]}
SHARED_CLASSES = ["simd8", "small", "minimal"]  # whose tiles other devices take
FAULTS = ["NO_BARRIER_BEFORE_READING", "NO_BARRIER_BEFORE_WRITING", "UNWRITTEN_LOCAL",
          "WRITE_BEHIND_LOCAL", "WRITE_BEHIND_BUFFER", "WRITE_BEFORE_BUFFER", "WRITE_FAR_OUTSIDE",
          "READ_FAR_OUTSIDE", "ENDLESS"]


def fail(message):
    print(f"emulate: {message}", file=sys.stderr)
    sys.exit(1)


# --- Compiler -------------------------------------------------------------------------------------

def isa_number(target):
    """The constant that a target's control file holds: 1000 * major + 100 * minor + stepping."""
    digits = target[3:]
    return int(digits[:-2]) * 1000 + int(digits[-2], 16) * 100 + int(digits[-1], 16)


def prepare_library(folder, targets):
    """AMD's device library with the control files that an older package lacks."""
    library = next((Path(p) for p in LIBRARIES if Path(p, "ocml.bc").is_file()), None)
    if not library:
        fail("ocml.bc is missing: install rocm-device-libs")
    for file in library.glob("*.bc"):
        (folder / file.name).symlink_to(file)
    for target in targets:
        out = folder / f"oclc_isa_version_{target[3:]}.bc"
        if out.exists():
            continue
        text = ("@__oclc_ISA_version = linkonce_odr hidden addrspace(4) constant i32 "
                f"{isa_number(target)}\n")
        subprocess.run([CLANG, "-target", "amdgcn-amd-amdhsa", "-nogpulib", "-Wno-everything", "-c",
                        "-emit-llvm", "-x", "ir", "-", "-o", str(out)], input=text, text=True,
                       check=True)


# --- Workers --------------------------------------------------------------------------------------

class Device:
    """A worker process; started anew after a crash or an endless loop."""

    def __init__(self, settings_path, log):
        self.settings_path, self.log, self.process = settings_path, log, None

    def start(self):
        environment = {**os.environ, "CC": HOST_CLANG, "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), str(self.settings_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.process = None

    def answer(self, timeout):
        """A line, or None after the timeout, or b"" if the process ended."""
        end, text = time.monotonic() + timeout, b""
        while not text.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            part = os.read(self.process.stdout.fileno(), 1 << 16)
            if not part:
                return b""
            text += part
        return text

    def do(self, job, timeout):
        if not self.process:
            self.start()
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()
            text = self.answer(timeout)
        except BrokenPipeError:
            text = b""
        if text:
            return json.loads(text)
        status = None if text is None else self.process.wait()
        self.stop()
        what = f"no end within {timeout} s" if text is None else f"the program ended with {status}"
        return {"ok": False, "message": what, "seconds": timeout if text is None else 0.0}


def run_jobs(jobs, settings_path, log, count, timeout):
    """Yields (job, answer) in the order of completion."""
    waiting, finished = queue.Queue(), queue.Queue()
    for job in jobs:
        waiting.put(job)

    def work():
        device = Device(settings_path, log)
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                break
            try:
                finished.put((job, device.do(job, job.get("timeout", timeout))))
            except Exception as error:  # pylint: disable=broad-except
                finished.put((job, {"ok": False, "message": repr(error), "seconds": 0.0}))
        device.stop()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(max(1, count))]
    for thread in threads:
        thread.start()
    for _ in jobs:
        yield finished.get()
    for thread in threads:
        thread.join()


# --- What to run ----------------------------------------------------------------------------------

def listed(cases, device_class):
    done = subprocess.run([cases, "list", device_class], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL, check=True)
    for line in done.stdout.splitlines():
        op, variant, case, label, flops, size, launched = line.split("\t")
        yield {"op": op, "variant": variant, "case": int(case), "label": label,
               "flops": float(flops), "bytes": float(size), "launched": launched}


def case_jobs(cases, targets, only):
    """Each distinct launch of a target once, those with most to do first."""
    jobs, lists = [], {name: list(listed(cases, name))
                       for name in [*sum(CLASSES.values(), []), *SHARED_CLASSES]}
    for target in targets:
        seen = set()
        for name in [*CLASSES[target], *SHARED_CLASSES]:
            for entry in lists[name]:
                key = (entry["op"], entry["variant"], entry["case"], entry["launched"])
                if key in seen or only not in f"{entry['op']} {entry['variant']} {entry['label']}":
                    continue
                seen.add(key)
                jobs.append({**entry, "target": target, "class": name})
    return sorted(jobs, key=lambda job: -max(job["flops"], job["bytes"]))


def fault_jobs(targets):
    """A sound program and the planted faults, with what has to come out."""
    for target in targets:
        yield {"fault": "sound", "defines": "", "target": target, "want": True, "timeout": 300}
        for name in FAULTS:
            yield {"fault": name, "defines": f"-D{name}", "target": target, "want": False,
                   "timeout": 10 if name == "ENDLESS" else 300}


# --- Report ---------------------------------------------------------------------------------------

def summary(job, answer):
    """(passed, sort key, line) of a case."""
    results = answer.get("results", [])
    bad = [r for r in results if not r["ok"]]
    passed = bool(results) and not bad and answer["launches"] > 0
    head = (f"{job['target']:7} {job['class']:8} {'ok  ' if passed else 'FAIL'} {job['variant']} / "
            f"{job['label']}")
    if not passed:
        message = answer.get("message") or next((r["message"] for r in bad), "nothing was executed")
        error = f", error {bad[0]['error']:.2g} of {bad[0]['tolerance']:.2g}" if bad else ""
        line = f"{head}: {message}{error} ({job['launched']})"
    else:
        worst = max(r["error"] for r in results)
        count = answer["instructions"]
        lanes = count * answer["lanes"] / len(results)
        per = (f"{lanes / job['flops']:.2f} a FLOP" if job["flops"]
               else f"{lanes / job['bytes']:.2f} a byte")
        line = (f"{head}: error {worst:.2g} of {results[0]['tolerance']:.2g}, {count} instructions, "
                f"{per}, {100 * answer['fmas'] / count:.0f} % fma")
    return passed, (job["target"], job["class"], job["op"], job["variant"], job["case"]), line


def check_faults(targets, settings_path, log, count):
    """Prints what went wrong; true if the emulator finds what it has to find."""
    jobs = list(fault_jobs(targets))
    wrong = []
    for job, answer in run_jobs(jobs, settings_path, log, count, 300):
        if answer["ok"] != job["want"]:
            wrong.append(f"{job['target']}: {job['fault']}: "
                         f"{answer['message'] or 'was not found'}")
    print("\n".join(sorted(wrong) + [f"{len(jobs) - len(targets)} planted faults, "
                                     f"{len(wrong)} of them or of {len(targets)} sound programs "
                                     "judged wrongly"]), flush=True)
    return not wrong


def check_cases(jobs, settings_path, log, count, timeout):
    lines, failed, shown = [], 0, time.monotonic()
    for done, (job, answer) in enumerate(run_jobs(jobs, settings_path, log, count, timeout), 1):
        passed, key, line = summary(job, answer)
        lines.append((key, line))
        failed += not passed
        if not passed:
            print(line, file=sys.stderr)
        if time.monotonic() - shown > 20:
            shown = time.monotonic()
            print(f"emulate: {done} of {len(jobs)}", file=sys.stderr)
    for _, line in sorted(lines):
        print(line)
    return len(lines), failed


def versions(tinygrad):
    clang = subprocess.run([CLANG, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    commit = subprocess.run(["git", "-C", tinygrad, "rev-parse", "--short=12", "HEAD"], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    top = subprocess.run(["git", "-C", tinygrad, "rev-parse", "--show-toplevel"], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    own = top.returncode == 0 and Path(top.stdout.strip()).resolve() == Path(tinygrad).resolve()
    return f"{clang.stdout.splitlines()[0]}; tinygrad {commit.stdout.strip() if own else 'copy'}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--target", action="append", choices=list(CLASSES))
    parser.add_argument("--only", default="", help="ops, variants or cases that contain this")
    parser.add_argument("--timeout", type=float, default=240, help="seconds for a case")
    parser.add_argument("tinygrad")
    parser.add_argument("cases")
    args = parser.parse_args()
    targets = args.target or list(CLASSES)
    if not Path(args.tinygrad, "test/mockgpu/amd/emu.py").is_file():
        fail(f"{args.tinygrad} holds no test/mockgpu/amd/emu.py: not a checkout of tinygrad")
    for tool in (CLANG, HOST_CLANG):
        if not shutil.which(tool):
            fail(f"{tool} is missing")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="onepeace-emulate.") as name:
        folder = Path(name)
        (folder / "bitcode").mkdir()
        prepare_library(folder / "bitcode", targets)
        cases = str(Path(args.cases).resolve())
        subprocess.run([cases, "sources", name], check=True)
        settings = {"tinygrad": str(Path(args.tinygrad).resolve()), "cases": cases, "folder": name,
                    "bitcode": str(folder / "bitcode"), "clang": CLANG,
                    "faults": str(HERE / "faults.cl")}
        (folder / "settings.json").write_text(json.dumps(settings))
        print(versions(args.tinygrad))
        with open(folder / "log", "w", encoding="utf-8") as log:
            sound = check_faults(targets, folder / "settings.json", log, args.jobs)
            executed, failed = check_cases(case_jobs(cases, targets, args.only),
                                           folder / "settings.json", log, args.jobs, args.timeout)
        if failed or not sound:
            print((folder / "log").read_text(errors="replace")[-4000:], file=sys.stderr)
    print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr)
    print(f"{executed} executed, {executed - failed} passed, {failed} failed")
    return 0 if sound and executed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
