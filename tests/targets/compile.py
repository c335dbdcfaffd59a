#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles what list_programs wrote for real GPUs, with their makers' own compilers and no GPU.

usage: compile.py [--vendor intel|amd|nvidia]... [--jobs N] FOLDER

One line for each program and target; the last line is "N compiled, N with spills, N failed". Exit
status 1 if anything failed or spilled. Spilled: registers or private memory that the compiler put
into memory. A missing compiler fails every program of its vendor.

fma A/B, for Intel (AMD's code is executed by `./dev emulate`): multiplications with addition among
the instructions of the loop that has most of them, both sides of its branches counted.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

# As host/backend/opencl/program.c.
OPTIONS = ["-cl-std=CL1.2", "-cl-mad-enable"]
# What AMD's compiler needs for the functions of sub-groups; Intel's has them in 1.2.
SUB_GROUP_OPTIONS = ["-cl-std=CL2.0", *OPTIONS[1:]]
CLANG = "clang-15"
AMD_LIBRARIES = ["/usr/lib/x86_64-linux-gnu/amdgcn/bitcode",
                 "/usr/lib/aarch64-linux-gnu/amdgcn/bitcode", "/opt/rocm/amdgcn/bitcode"]
NVIDIA_LIBRARY = "/usr/lib/clc/nvptx64--nvidiacl.bc"

Program = namedtuple("Program", "source function defines items classes")
# spilled, scratch: counts or bytes, whichever the compiler tells; local in bytes.
Result = namedtuple("Result", "registers spilled scratch local simd loop", defaults=[None])


class Failure(Exception):
    """A program that does not compile, or output that cannot be read."""


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    if done.returncode != 0:
        raise Failure(f"{command[0]} ended with {done.returncode}: {done.stdout.strip()[-2000:]}")
    return done.stdout


def number(pattern, text, default=None):
    match = re.search(pattern, text)
    if match:
        return int(match.group(1))
    if default is None:
        raise Failure(f"no {pattern} in the compiler's output")
    return default


# --- Intel: ocloc, what the driver runs; the numbers stand in the binary's .ze_info section -------

def elf_section(data, wanted):
    """The bytes of a section of a 64-bit little-endian ELF file."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise Failure("the binary is no 64-bit ELF file")
    table, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    start = headers[names][4]
    for name, _, _, _, offset, length in headers:
        if data[start + name:data.index(b"\0", start + name)] == wanted:
            return data[offset:offset + length]
    raise Failure(f"the binary has no section {wanted.decode()}")


def kernel_facts(info, function):
    """The part of .ze_info about one kernel."""
    for part in re.split(r"^  - name: +", info.split("kernels_misc_info")[0], flags=re.M)[1:]:
        if part.split("\n", 1)[0].strip() == function:
            return part
    raise Failure(f"the binary has no kernel {function}")


# As the disassembler names the devices.
INTEL_PLATFORMS = {"skl": "9", "tgllp": "12p1", "acm-g10": "12p71", "pvc": "12p72"}
LABEL, JUMP = re.compile(r"(L\d+):"), re.compile(r"\b(?:while|goto|jmpi|brc|brd)\b")
INSTRUCTION = re.compile(r"(?:\([^)]*\))?\s+([a-z]\w*)")


def intel_loop(binary, device, function, folder):
    """(multiply-adds, instructions) of the loop with most of the former, or None."""
    text = folder / "text"
    text.write_bytes(elf_section(binary, f".text.{function}".encode()))
    lines = run(["iga64", "-d", f"-p={INTEL_PLATFORMS[device]}", str(text)]).splitlines()
    places, best = {}, (0, 0)
    for at, line in enumerate(lines):
        if LABEL.match(line):
            places[LABEL.match(line).group(1)] = at
        if not JUMP.search(line):
            continue
        for start in (places[name] for name in re.findall(r"\bL\d+\b", line) if name in places):
            names = [m.group(1) for text in lines[start:at + 1] if (m := INSTRUCTION.match(text))]
            best = max(best, (names.count("mad"), len(names)), key=lambda loop: loop[0])
    return best if best[0] else None


def compile_intel(program, device, text, folder):
    log = run(["ocloc", "compile", "-file", str(text), "-device", device, "-options",
               " ".join(OPTIONS + program.defines), "--format", "zebin", "-output", "kernel",
               "-out_dir", str(folder)])
    binaries = list(folder.glob("kernel*.bin"))
    if len(binaries) != 1:
        raise Failure("ocloc wrote no binary")
    binary = binaries[0].read_bytes()
    info = elf_section(binary, b".ze_info").decode("utf-8", "replace")
    facts = kernel_facts(info, program.function)
    memory = facts.partition("per_thread_memory_buffers:")[2]  # the last entry, absent if there is none
    scratch = sum(int(n) for n in re.findall(r"\bsize: +(\d+)", memory))
    return Result(number(r"grf_count: +(\d+)", facts), number(r"spilled around (\d+)", log, 0),
                  scratch, number(r"slm_size: +(\d+)", facts, 0),
                  number(r"simd_size: +(\d+)", facts),
                  intel_loop(binary, device, program.function, folder))


def intel_version():
    with tempfile.TemporaryDirectory() as folder:
        run_in = subprocess.run(["ocloc", "query", "OCL_DRIVER_VERSION"], cwd=folder, check=False,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        answer = Path(folder, "OCL_DRIVER_VERSION")
        known = run_in.returncode == 0 and answer.is_file()
        return "ocloc " + (answer.read_text().strip(" \0\n") if known else "of unknown version")


# --- AMD: clang with AMD's device library; the numbers stand in the metadata of the assembly ------

def amd_library():
    return next((path for path in AMD_LIBRARIES if Path(path, "ocml.bc").is_file()), None)


def compile_amd(program, device, text, folder):
    out = folder / "kernel.s"
    options = SUB_GROUP_OPTIONS if "-DSUB_GROUPS" in program.defines else OPTIONS
    run([CLANG, "-x", "cl", *options, *program.defines, "-target", "amdgcn-amd-amdhsa",
         f"-mcpu={device}", f"--rocm-device-lib-path={amd_library()}", "-O3", "-S", str(text), "-o",
         str(out)])
    kernels = out.read_text().split("amdhsa.kernels:")[-1]
    facts = next((part for part in re.split(r"^  - (?=\.)", kernels, flags=re.M)
                  if re.search(rf"\.name: +{program.function}$", part, re.M)), None)
    if facts is None:
        raise Failure(f"no kernel {program.function} in the metadata")
    spilled = sum(number(rf"\.{kind}_spill_count: +(\d+)", facts) for kind in ("vgpr", "sgpr"))
    return Result(number(r"\.vgpr_count: +(\d+)", facts), spilled,
                  number(r"\.private_segment_fixed_size: +(\d+)", facts),
                  number(r"\.group_segment_fixed_size: +(\d+)", facts),
                  number(r"\.wavefront_size: +(\d+)", facts))


# --- NVIDIA: clang to PTX, then the CUDA toolkit's assembler --------------------------------------

def find_ptxas():
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    return shutil.which("ptxas") or shutil.which("ptxas", path=f"{home}/bin")


def compile_nvidia(program, device, text, folder):
    ptx = folder / "kernel.ptx"
    run([CLANG, "-x", "cl", *OPTIONS, *program.defines, "-target", "nvptx64--nvidiacl",
         f"-march={device}", "-Xclang", "-mlink-builtin-bitcode", "-Xclang", NVIDIA_LIBRARY, "-O3",
         "-S", str(text), "-o", str(ptx)])
    log = run([find_ptxas(), f"-arch={device}", "-v", str(ptx), "-o", str(folder / "kernel.cubin")])
    at = log.find(f"'{program.function}'")
    if at < 0:
        raise Failure(f"no kernel {program.function} in ptxas' report")
    facts = log[at:].split("Compiling entry function")[0]
    spilled = number(r"(\d+) bytes spill stores", facts) + number(r"(\d+) bytes spill loads", facts)
    return Result(number(r"Used (\d+) registers", facts), spilled,
                  number(r"(\d+) bytes stack frame", facts),
                  number(r"(\d+) bytes smem", facts, 0), 32)


# --- Vendors --------------------------------------------------------------------------------------

def clang_version():
    return run([CLANG, "--version"]).split("\n")[0]


def missing(*tools):
    """The first thing that is not there, or None."""
    return next((name for name, found in tools if not found), None)


# The rows of the tuning table that a target may take: its own, and those for drivers that do not tell
# a sub-group size.
OWN_CLASS = {"skl": "gpu-simd8", "tgllp": "gpu-simd8", "acm-g10": "gpu-simd8", "pvc": "gpu-simd16",
             "gfx900": "gpu-wave64", "gfx906": "gpu-wave64", "gfx90a": "gpu-wave64",
             "gfx1030": "gpu-wave32", "sm_75": "gpu-warp32", "sm_80": "gpu-warp32"}
# Its compiler takes 32 work-items a thread unless a sub-group size is asked for, which the class of
# sub-groups of 16 does.
ONLY_OWN_CLASS = ["pvc"]


def launches(device, program):
    """The program as this target launches it, or None if it does not."""
    own = [OWN_CLASS[device]] + ([] if device in ONLY_OWN_CLASS else ["gpu", "gpu-small"])
    classes = [name for name in program.classes.split(",") if name in own]
    return program._replace(classes=",".join(classes)) if classes else None


Vendor = namedtuple("Vendor", "name devices compile missing versions")
VENDORS = [
    Vendor("intel", ["skl", "tgllp", "acm-g10", "pvc"], compile_intel,
           lambda: missing(("ocloc (package intel-opencl-icd)", shutil.which("ocloc")),
                           ("iga64 (package libigc-tools)", shutil.which("iga64"))),
           lambda: [intel_version()]),
    Vendor("amd", ["gfx900", "gfx906", "gfx90a", "gfx1030"], compile_amd,
           lambda: missing((CLANG, shutil.which(CLANG)),
                           ("ocml.bc (package rocm-device-libs)", amd_library())),
           lambda: [clang_version()]),
    Vendor("nvidia", ["sm_75", "sm_80"], compile_nvidia,
           lambda: missing((CLANG, shutil.which(CLANG)),
                           (f"{NVIDIA_LIBRARY} (package libclc-15)",
                            Path(NVIDIA_LIBRARY).is_file()),
                           ("ptxas (the CUDA toolkit; CUDA_HOME says where)", find_ptxas())),
           lambda: [clang_version(), run([find_ptxas(), "--version"]).strip().split("\n")[-1]]),
]


def read_programs(folder):
    lines = (folder / "programs").read_text().splitlines()
    fields = [line.split("\t") for line in lines]
    return sorted(Program(f[0], f[1], f[2].split(), int(f[3]), f[4]) for f in fields)


def attempt(vendor, device, program, sources):
    """The result of one compilation, or what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return vendor.compile(program, device, sources / f"{program.source}.cl", Path(folder))
        except (Failure, OSError, ValueError, struct.error) as error:
            return str(error) or repr(error)


def report(device, program, result):
    """Prints one line; returns "compiled", "spilled" or "failed"."""
    defines = " ".join(define[2:] for define in program.defines)
    what = f"{program.function} {defines}".strip()
    if isinstance(result, str):
        print(f"{device:8} FAILED {what}: {result}")
        return "failed"
    spilled = result.spilled > 0 or result.scratch > 0
    loop = f"fma {result.loop[0]}/{result.loop[1]}  " if result.loop else ""
    print(f"{device:8} registers {result.registers:3}  spilled {result.spilled}  "
          f"scratch {result.scratch}  {loop}local {result.local:5}  simd {result.simd:2}  "
          f"{'SPILLS ' if spilled else ''}{what} ({program.classes})", flush=True)
    return "spilled" if spilled else "compiled"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--vendor", action="append", choices=[v.name for v in VENDORS])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    programs = read_programs(args.folder)
    counts = {"compiled": 0, "spilled": 0, "failed": 0}
    for vendor in VENDORS:
        if args.vendor and vendor.name not in args.vendor:
            continue
        tasks = [(device, mine) for device in vendor.devices for program in programs
                 if (mine := launches(device, program))]
        lacking = vendor.missing()
        if lacking:
            print(f"{vendor.name}: missing {lacking}: nothing compiled for "
                  f"{', '.join(vendor.devices)}")
            counts["failed"] += len(tasks)
            continue
        print(f"{vendor.name}: {'; '.join(vendor.versions())}")
        with concurrent.futures.ThreadPoolExecutor(max(1, args.jobs)) as pool:
            results = pool.map(lambda task, v=vendor: attempt(v, *task, args.folder), tasks)
            for (device, program), result in zip(tasks, results):
                counts[report(device, program, result)] += 1
    done = counts["compiled"] + counts["spilled"]
    print(f"{done} compiled, {counts['spilled']} with spills, {counts['failed']} failed")
    return 0 if done and not counts["spilled"] and not counts["failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
