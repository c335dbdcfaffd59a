# SPDX-License-Identifier: Apache-2.0
"""Executes AMD code objects with tinygrad's instruction emulator (test/mockgpu/amd/emu.py there).

The emulator decodes and executes single instructions; what a driver and a processor do around them
is here: loading, kernel arguments, waves, barriers, local memory. It is strict where a real device
is not:
- every buffer lies between unmapped pages, the bytes up to them hold a pattern that must survive
- local memory starts as NaN for every work-group, and the bytes behind it must survive
- the waves of a group run one after another up to a barrier, in ascending order in one group and in
  descending order in the next, so a missing barrier changes results
"""
import ctypes
import mmap
import re
import struct
import sys

import msgpack
from elftools.elf.elffile import ELFFile

from gaps import Fault, Gaps

PAGE = mmap.PAGESIZE
PATTERN = 0xA5
ARCHITECTURES = {"gfx1100": "rdna3", "gfx1200": "rdna4", "gfx942": "cdna"}
LOCAL_SPACE = (4 << 30) + (1 << 20)  # local addresses have 32 bits, offsets come on top
LOCAL_TAIL = 64 * 1024
FINISHED = 2**64 - 1
PC_LOW, PC_HIGH = 256, 257  # where the emulator keeps the program counter among the registers

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Memory:
    """`size` bytes that end right before an unmapped page, rounded up to 128 bytes."""

    def __init__(self, content):
        self.size = len(content)
        used = -(-max(self.size, 1) // 128) * 128
        body = -(-used // PAGE) * PAGE
        self.mapping = mmap.mmap(-1, body + 2 * PAGE)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self.mapping))
        self.before, self.address = first + PAGE, first + PAGE + body - used
        self.after = self.address + self.size
        self.end = first + PAGE + body
        for guard in (first, self.end):
            if libc.mprotect(guard, PAGE, 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        ctypes.memset(self.before, PATTERN, body)
        ctypes.memmove(self.address, bytes(content), self.size)

    def content(self):
        return ctypes.string_at(self.address, self.size)

    def check(self):
        for start, end in ((self.before, self.address), (self.after, self.end)):
            if ctypes.string_at(start, end - start) != bytes([PATTERN]) * (end - start):
                raise Fault("a write outside of a buffer")


class Kernel:
    """One kernel of a code object, loaded to where it can be executed."""

    def __init__(self, path, function):
        with open(path, "rb") as file:
            elf = ELFFile(file)
            if any(s["sh_type"] in ("SHT_RELA", "SHT_REL") for s in elf.iter_sections()):
                raise Fault("relocations are not handled")
            segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
            size = max(s["p_vaddr"] + s["p_memsz"] for s in segments)
            self.mapping = mmap.mmap(-1, -(-size // PAGE) * PAGE + PAGE)
            self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.mapping))
            for s in segments:
                data = s.data()
                self.mapping[s["p_vaddr"]:s["p_vaddr"] + len(data)] = data
            symbol = elf.get_section_by_name(".dynsym").get_symbol_by_name(f"{function}.kd")
            if not symbol:
                raise Fault(f"no kernel {function}")
            self.descriptor = symbol[0]["st_value"]
            note = elf.get_section_by_name(".note").data()
        name_size, size, _ = struct.unpack_from("<III", note)
        start = 12 + -(-name_size // 4) * 4
        kernels = msgpack.unpackb(note[start:start + size])["amdhsa.kernels"]
        self.facts = next(k for k in kernels if k[".name"] == function)
        at = self.descriptor
        self.local, self.private, self.argument_bytes = struct.unpack_from("<III", self.mapping, at)
        entry, = struct.unpack_from("<q", self.mapping, at + 16)
        rsrc1, self.rsrc2, self.properties, preload = struct.unpack_from("<IIHH", self.mapping,
                                                                         at + 48)
        self.entry = self.base + self.descriptor + entry
        self.lanes = self.facts[".wavefront_size"]
        if rsrc1 >> 16 & 3 != 3:
            raise Fault("a kernel that flushes denormals is not handled")
        if preload & 0x7F:
            raise Fault("preloaded arguments are not handled")


class Machine:
    def __init__(self, tinygrad):
        sys.path.insert(0, str(tinygrad))
        from test.mockgpu.amd import emu  # pylint: disable=import-error,import-outside-toplevel
        self.emu, self.gaps = emu, Gaps(emu)
        self.local = mmap.mmap(-1, LOCAL_SPACE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
        self.local_address = ctypes.addressof(ctypes.c_char.from_buffer(self.local))

    def step(self, pc, architecture):
        """[function, its buffers, waits at a barrier, size, times executed, name]; a function
        without buffers is one of gaps.py."""
        found = self.gaps.step(pc, architecture)
        if found:
            name, size, execute = found
            return [execute, None, False, size, 0, name]
        try:
            (program, runtime), inst = self.emu._decode_at(pc, architecture)
        except Exception as error:
            raise Fault(f"cannot decode: {error}") from error
        name = self.emu._op_name(inst)
        waits = name in ("S_BARRIER", "S_BARRIER_WAIT")
        return [runtime.fxn, tuple(program.arg.globals), waits, inst.size(), 0, name]

    # --- Waves ----------------------------------------------------------------------------------

    def run_wave(self, wave, steps, architecture):
        """Up to a barrier (False) or the end (True)."""
        state, pointers, known = wave
        registers = state._sgpr_mv
        while True:
            pc = registers[PC_LOW] | registers[PC_HIGH] << 32
            if pc == FINISHED:
                return True
            step = steps.get(pc)
            if step is None:
                step = steps[pc] = self.step(pc, architecture)
            step[4] += 1
            if step[1] is None:
                step[0](state, pointers)
                state.pc = pc + step[3]
                continue
            arguments = known.get(step[1])
            if arguments is None:
                arguments = known[step[1]] = tuple(pointers[i] for i in step[1])
            step[0](*arguments)
            if step[2]:
                return False

    def make_wave(self, kernel, launch, group, first):
        emu, (local, arguments, user) = self.emu, launch
        state = emu._init_wave(kernel.entry, first, local[0] * local[1] * local[2], *local,
                               arguments, kernel.rsrc2, kernel.private, kernel.architecture, *group,
                               user, kernel.lanes)
        private = Memory(bytes(kernel.private * kernel.lanes)) if kernel.private else None
        addresses = [state.sgpr_buf._buf.va_addr, state.vgpr_buf._buf.va_addr, 0,
                     self.local_address, private.address if private else 0,
                     state.accvgpr_buf._buf.va_addr]
        return (state, [ctypes.c_uint64(a) for a in addresses], {}), private

    def run_group(self, kernel, launch, group, steps, local_bytes, backwards):
        ctypes.memset(self.local_address, 0xFF, local_bytes)
        items = launch[0][0] * launch[0][1] * launch[0][2]
        made = [self.make_wave(kernel, launch, group, first)
                for first in range(0, items, kernel.lanes)]
        waiting = [wave for wave, _ in made]
        if backwards:
            waiting.reverse()
        while waiting:
            waiting = [wave for wave in waiting
                       if not self.run_wave(wave, steps, kernel.architecture)]
        for _, private in made:
            if private:
                private.check()

    # --- Launches -------------------------------------------------------------------------------

    @staticmethod
    def argument_block(kernel, values, groups, local, dims):
        """`values`: bytes of each argument as the kernel is given it, or ("local", bytes)."""
        hidden = {"hidden_grid_dims": dims}
        for axis, letter in enumerate("xyz"):
            hidden[f"hidden_block_count_{letter}"] = groups[axis]
            hidden[f"hidden_group_size_{letter}"] = local[axis]
        block, used, given = bytearray(kernel.argument_bytes), kernel.local, list(values)
        for fact in kernel.facts.get(".args", []):
            kind, size = fact[".value_kind"], fact[".size"]
            if kind.startswith("hidden_"):
                value = hidden.get(kind, 0).to_bytes(size, "little")
            else:
                if not given:
                    raise Fault("too few arguments")
                value = given.pop(0)
                if kind == "dynamic_shared_pointer":
                    used = -(-used // 16) * 16
                    value, used = struct.pack("<I", used), used + value[1]
            if len(value) != size:
                raise Fault(f"{kind} at {fact['.offset']} takes {size} bytes, not {len(value)}")
            block[fact[".offset"]:fact[".offset"] + size] = value
        if given:
            raise Fault("too many arguments")
        return block, used

    @staticmethod
    def user_registers(kernel, packet, arguments):
        """What the command processor puts into the first scalar registers."""
        def pair(value):
            return [value & 0xFFFFFFFF, value >> 32]
        offered = [[0] * 4, pair(packet), [0, 0], pair(arguments), [0, 0], [0, 0], [kernel.private]]
        registers = [word for bit, words in enumerate(offered) if kernel.properties >> bit & 1
                     for word in words]
        room = kernel.rsrc2 >> 1 & 31
        if len(registers) > room:
            raise Fault("more user registers than the descriptor has room for")
        return registers + [0] * (room - len(registers))

    def launch(self, path, function, target, dims, size, local, values):
        """Runs a kernel; returns what was executed, {instruction: times}, and its lanes."""
        kernel = Kernel(path, function)
        kernel.architecture = ARCHITECTURES[target]
        if any(s % l for s, l in zip(size, local)):
            raise Fault("the size is no multiple of the group")
        fixed = kernel.facts.get(".reqd_workgroup_size")
        if fixed and list(fixed) != list(local):
            raise Fault(f"the kernel wants groups of {fixed}, not {local}")
        groups = [s // l for s, l in zip(size, local)]
        block, local_bytes = self.argument_block(kernel, values, groups, local, dims)
        arguments = Memory(block)
        packet = Memory(struct.pack("<HHHHHHIIIIIQQQQ", 2, dims, *local, 0, *size, kernel.private,
                                    local_bytes, kernel.base + kernel.descriptor,
                                    arguments.address, 0, 0))
        launch = (local, arguments.address,
                  self.user_registers(kernel, packet.address, arguments.address))
        steps = {}
        tail = self.local_address + local_bytes
        ctypes.memset(tail, 0xFF, LOCAL_TAIL)
        number = 0
        for z in range(groups[2]):
            for y in range(groups[1]):
                for x in range(groups[0]):
                    self.run_group(kernel, launch, (x, y, z), steps, local_bytes, number % 2 == 1)
                    number += 1
        if ctypes.string_at(tail, LOCAL_TAIL) != b"\xff" * LOCAL_TAIL:
            raise Fault("a write outside of local memory")
        counts = {}
        for step in steps.values():
            counts[step[5]] = counts.get(step[5], 0) + step[4]
        return counts, kernel


FMA = re.compile(r"FMA(C|AK|MK|_MIX\w*)?_F32|FMA_MIX")


def fmas(counts):
    """Multiplications with addition per lane: dual instructions have two."""
    return sum(times * len(FMA.findall(name)) * (2 if "_PK_" in name else 1)
               for name, times in counts.items())
