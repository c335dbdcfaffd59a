# SPDX-License-Identifier: Apache-2.0
"""What the emulator of tinygrad lacks for clang's output: executed here, or refused where it would be
taken for something else.

Encodings are from AMD's instruction set manuals for RDNA3, RDNA4 and CDNA3.
"""
import ctypes
import mmap
import struct

ACTIVE, RDNA_INDEX = 126, 125  # EXEC and M0 among the scalar registers
FIRST_VECTOR = 256             # of a source operand's numbers
# Cache maintenance does nothing where there are no caches: buffer_gl0_inv, buffer_gl1_inv;
# global_inv, global_wb, global_wbinv. First word and size.
CACHES = {"rdna3": {0xE0AC0000: 8, 0xE0B00000: 8},
          "rdna4": {0xEE0AC07C: 12, 0xEE0B007C: 12, 0xEE13C07C: 12}, "cdna": {}}
DPP16, ROW_SHARE, ROW = 0xFA, 0x150, 16   # a source; its control, lane added; lanes of a row
INDEX_ON, INDEX_OFF = 0xBF11, 0xBF9C0000  # CDNA: s_set_gpr_idx_on (upper half), _off
INDEX_SOURCE, INDEX_RESULT = 1, 8


class Fault(Exception):
    """The program did what no program may do, or something that is not emulated."""


def word_at(address):
    return ctypes.c_uint32.from_address(address).value


def active_lanes(state):
    mask = state._sgpr_mv[ACTIVE] | (state._sgpr_mv[ACTIVE + 1] << 32 if state.wave_size == 64 else 0)
    return [lane for lane in range(state.wave_size) if mask >> lane & 1]


def move(state, result, source):
    """v_mov_b32 between numbered registers; a source below 256 is a scalar or a constant."""
    vectors, lanes = state._vgpr_mv, state.wave_size
    for lane in active_lanes(state):
        vectors[result * lanes + lane] = (
            state._sgpr_mv[source] if source < FIRST_VECTOR
            else vectors[(source - FIRST_VECTOR) * lanes + lane])


def operands(word):
    """Result and first source of a VOP1 instruction."""
    return word >> 17 & 0xFF, word & 0x1FF


def cache_step(pc, architecture):
    size = CACHES[architecture].get(word_at(pc))
    return size and ("CACHE", size, lambda state, pointers: None)


def relative_move_step(pc, architecture):
    """RDNA: v_movrels_b32 adds M0 to the number of the source, v_movreld_b32 to the result's."""
    word = word_at(pc)
    if architecture == "cdna" or word >> 25 != 0x3F or word >> 9 & 0xFF not in (0x42, 0x43):
        return None
    result, source = operands(word)

    def execute(state, pointers):
        del pointers
        index = state._sgpr_mv[RDNA_INDEX]
        if word >> 9 & 0xFF == 0x43:
            move(state, result, source + index)
        else:
            move(state, result + index, source)
    return "V_MOVREL_B32", 4, execute


def row_share_step(pc, architecture):
    """RDNA: v_mov_b32 with DPP row_share: each row's lanes take the value of one of its lanes."""
    word, control = word_at(pc), word_at(pc + 4)
    if architecture == "cdna" or word >> 25 != 0x3F or word >> 9 & 0xFF != 1 or \
            word & 0x1FF != DPP16 or control >> 8 & 0x1F0 != ROW_SHARE:
        return None
    if control >> 24 != 0xFF or control >> 20 & 0xF:
        raise Fault("row_share with masks or modifiers is not emulated")
    result, source, shared = word >> 17 & 0xFF, control & 0xFF, control >> 8 & 0xF
    fetch_inactive, zero = control >> 18 & 1, control >> 19 & 1

    def execute(state, pointers):
        del pointers
        vectors, lanes, active = state._vgpr_mv, state.wave_size, active_lanes(state)
        values = vectors[source * lanes:(source + 1) * lanes].tolist()
        for lane in active:
            at = lane // ROW * ROW + shared
            if fetch_inactive or at in active:
                vectors[result * lanes + lane] = values[at]
            elif zero:
                vectors[result * lanes + lane] = 0
    return "V_MOV_B32_ROW_SHARE", 8, execute


def indexed_move_step(pc, architecture):
    """CDNA: s_set_gpr_idx_on, one v_mov_b32, s_set_gpr_idx_off, as clang writes them."""
    on, mov, off = (word_at(pc + 4 * i) for i in range(3))
    if architecture != "cdna" or on >> 16 != INDEX_ON:
        return None
    what, scalar = on >> 8 & 0xFF, on & 0xFF
    if mov >> 25 != 0x3F or mov >> 9 & 0xFF != 1 or off != INDEX_OFF or scalar > 105 or \
            what not in (INDEX_SOURCE, INDEX_RESULT) or what == INDEX_SOURCE and not mov & 0x100:
        raise Fault("this use of register indices is not emulated")
    result, source = operands(mov)

    def execute(state, pointers):
        del pointers
        index = state._sgpr_mv[scalar] & 0xFF
        move(state, result + (index if what == INDEX_RESULT else 0),
             source + (index if what == INDEX_SOURCE else 0))
    return "V_INDEXED_MOV_B32", 12, execute


class HighHalves:
    """CDNA has no halves of registers, but the emulator takes registers from 128 on in 16-bit
    operands for upper halves, as on RDNA. Such an instruction is executed with registers below."""

    def __init__(self, emu):
        self.emu, self.place, self.used = emu, mmap.mmap(-1, 1 << 20), 0
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.place))

    def step(self, pc, architecture):
        word = word_at(pc)
        if architecture != "cdna" or word >> 31:
            return None
        inst = self.emu.decode_inst(ctypes.string_at(pc, 16), architecture)
        irc = self.emu.irc
        kind = type(inst).__name__
        if not isinstance(inst, (irc.VOP1, irc.VOP2)) or "SDWA" in kind:
            return None
        if "DPP" in kind and 16 in inst.canonical_op_bits.values():
            raise Fault(f"not emulated: {inst!r}")
        shifts = {"d": 17, "s0": 0}
        if isinstance(inst, irc.VOP2):
            shifts["s1"] = 9
        vectors = {name: word >> shift & 0xFF for name, shift in shifts.items()
                   if name != "s0" or word & 0x100}
        high = {name: number for name, number in vectors.items()
                if number > 127 and 16 in (inst.canonical_op_bits.get(name),
                                           inst.canonical_op_bits.get("s0"))}
        if not high:
            return None
        free = [n for n in range(8) if n not in vectors.values()]
        renamed = {number: free[i] for i, number in enumerate(sorted(set(high.values())))}
        for name, number in high.items():
            word = word & ~(0xFF << shifts[name]) | renamed[number] << shifts[name]
        return self.emu._op_name(inst), inst.size(), self.executor(pc, word, renamed)

    def executor(self, pc, word, renamed):
        at = self.address + self.used
        self.used += 16
        ctypes.memmove(at, struct.pack("<I", word) + ctypes.string_at(pc + 4, 12), 16)
        (program, runtime), _ = self.emu._decode_at(at, "cdna")

        def execute(state, pointers):
            vectors, lanes = state._vgpr_mv, state.wave_size
            row = lambda n: slice(n * lanes, (n + 1) * lanes)
            saved = {low: vectors[row(low)].tolist() for low in renamed.values()}
            for number, low in renamed.items():
                vectors[row(low)] = vectors[row(number)]
            state.pc = at
            runtime.fxn(*(pointers[i] for i in program.arg.globals))
            for number, low in renamed.items():
                vectors[row(number)] = vectors[row(low)]
            for low, values in saved.items():
                for lane, value in enumerate(values):
                    vectors[low * lanes + lane] = value
        return execute


class Gaps:
    def __init__(self, emu):
        self.high_halves = HighHalves(emu)

    def step(self, pc, architecture):
        """(name, size, execute(state, pointers)), or None for what the emulator knows."""
        if architecture != "cdna" and word_at(pc) >> 31 == 0 and word_at(pc) & 0x1FF in (0xE9, 0xEA):
            raise Fault("DPP8 is not emulated")
        for find in (cache_step, relative_move_step, row_share_step, indexed_move_step,
                     self.high_halves.step):
            found = find(pc, architecture)
            if found:
                return found
        return None
