# SPDX-License-Identifier: Apache-2.0
"""One emulated device: takes jobs as lines of JSON on stdin, answers each with one on stdout.

usage: worker.py SETTINGS.json

A job is a case of an op ("case", see cases.c) or a kernel of faults.cl ("fault"). A program that
goes wild ends this process; emulate.py starts another.
"""
import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import machine
from gaps import Fault

# As host/backend/opencl/program.c.
OPTIONS = ["-cl-std=CL1.2", "-cl-mad-enable"]
SUB_GROUP_OPTIONS = ["-cl-std=CL2.0", *OPTIONS[1:]]


class Worker:
    def __init__(self, settings):
        self.settings = settings
        self.machine = machine.Machine(settings["tinygrad"])

    def compile(self, target, source, defines):
        """The code object of a source; kept in the folder that all workers share."""
        folder = Path(self.settings["folder"])
        key = hashlib.sha256(f"{target} {source} {defines}".encode()).hexdigest()[:24]
        path = folder / f"{key}.co"
        if path.exists():
            return path
        part = folder / f"{key}.{os.getpid()}.part"
        options = SUB_GROUP_OPTIONS if "-DSUB_GROUPS" in defines.split() else OPTIONS
        command = [self.settings["clang"], "-x", "cl", *options, *defines.split(), "-target",
                   "amdgcn-amd-amdhsa", f"-mcpu={target}",
                   f"--rocm-device-lib-path={self.settings['bitcode']}", "-O3", source, "-o",
                   str(part)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)
        if done.returncode != 0:
            raise Fault(f"does not compile: {done.stdout[:400]}")
        part.rename(path)
        return path

    # --- Cases ----------------------------------------------------------------------------------

    def serve(self, job, pipes, totals):
        """One launch: reads it, executes it, answers. False: the case is over."""
        buffers = []
        line = pipes.stdout.readline().decode().rstrip("\n")
        while line.startswith("buffer "):
            buffers.append(machine.Memory(pipes.stdout.read(int(line.split()[2]))))
            line = pipes.stdout.readline().decode().rstrip("\n")
        if line.startswith("result "):
            _, status, error, tolerance, message = line.split(" ", 4)
            totals["results"].append({"ok": status == "0", "error": float(error),
                                      "tolerance": float(tolerance), "message": message})
            return True
        if not line:
            return False
        _, source, function = line.split()
        defines = pipes.stdout.readline().decode().strip()
        dims, *sizes = map(int, pipes.stdout.readline().split())
        values = []
        for argument in iter(lambda: pipes.stdout.readline().decode().split(), ["end"]):
            values.append(self.value(argument, buffers))
        try:
            self.execute(job["target"], f"{self.settings['folder']}/{source}.cl", function, defines,
                         dims, sizes, values, totals)
            for buffer in buffers:
                buffer.check()
        except Fault as error:
            text = " ".join(str(error).split())[:900]
            pipes.stdin.write(f"error {text}\n".encode())
        else:
            pipes.stdin.write(b"ok\n" + b"".join(buffer.content() for buffer in buffers))
        pipes.stdin.flush()
        return True

    @staticmethod
    def value(argument, buffers):
        kind, number = argument[0], int(argument[1]) if len(argument) > 1 else 0
        if kind == "buffer":
            return struct.pack("<Q", buffers[number].address)
        if kind == "local":
            return ("local", number)
        return struct.pack({"null": "<Q", "i32": "<i", "u32": "<I"}[kind], number)

    @staticmethod
    def chosen_group(size):
        """As drivers choose where the program leaves it to them: up to 64 work-items that divide the
        size."""
        first = max(n for n in range(1, 65) if size[0] % n == 0)
        return [first, max(n for n in range(1, 64 // first + 1) if size[1] % n == 0), 1]

    def execute(self, target, source, function, defines, dims, sizes, values, totals):
        size, local = sizes[:3], sizes[3:]
        if local[0] == 0:
            local = self.chosen_group(size)
        path = self.compile(target, source, defines)
        counts, kernel = self.machine.launch(path, function, target, dims, size, local, values)
        for name, times in counts.items():
            totals["counts"][name] = totals["counts"].get(name, 0) + times
        totals["lanes"] = kernel.lanes
        totals["launches"] += 1

    def case(self, job):
        command = [self.settings["cases"], "run", job["class"], job["op"], job["variant"],
                   str(job["case"])]
        totals = {"results": [], "counts": {}, "launches": 0, "lanes": 0}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as pipes:
            while self.serve(job, pipes, totals):
                pass
        counts = totals.pop("counts")
        return {**totals, "instructions": sum(counts.values()), "fmas": machine.fmas(counts)}

    # --- Planted faults -------------------------------------------------------------------------

    def fault(self, job):
        """faults.cl: out[i] is a sum of in[], see there. True if all is as it should be."""
        groups, local = 2, 256
        count = groups * local
        given = [float((i * 37) % 101) for i in range(count)]
        source = machine.Memory(struct.pack(f"<{count}f", *given))
        result = machine.Memory(bytes(4 * count))
        path = self.compile(job["target"], self.settings["faults"], job["defines"])
        try:
            self.machine.launch(path, "reverse_and_add", job["target"], 1, [count, 1, 1],
                                [local, 1, 1], [struct.pack("<Q", m.address)
                                                for m in (source, result)])
            source.check()
            result.check()
        except Fault as error:
            return {"ok": False, "message": str(error)}
        want = []
        for i in range(count):
            first = i // local * local
            want.append(given[first + local - 1 - i % local] + given[first + (i + 64) % local])
        got = list(struct.unpack(f"<{count}f", result.content()))
        return {"ok": got == want, "message": "" if got == want else "wrong results"}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        settings = json.load(file)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever is printed by others goes to stderr
    worker = Worker(settings)
    for line in sys.stdin:
        job = json.loads(line)
        begin = time.monotonic()
        answer = worker.fault(job) if "fault" in job else worker.case(job)
        answer["seconds"] = time.monotonic() - begin
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
