"""Reading machine code: instructions, loops, the ceiling, loads in flight, on snippets whose figures are plain."""

import pytest

from benchmarks.cuda.architectures import ARCHITECTURES
from benchmarks.cuda.ceiling import ceiling
from benchmarks.cuda.loops import hot
from benchmarks.cuda.sass import Instruction, instructions
from benchmarks.cuda.traffic import Traffic, traffic


def code(*lines: str, start: int = 0) -> tuple[Instruction, ...]:
    """``"@P0 BRA 0x10"``: predicate, opcode, operands without blanks."""
    return instructions(lines, start)


FFMA = "FFMA R1,R2,R3,R1"


def test_share_of_a_loop_of_eight_multiply_adds_and_two_others() -> None:
    found = hot(code("MOV R1,RZ", *[FFMA] * 8, "ISETP.GE.AND P0,PT,R2,R3,PT", "@!P0 BRA 0x10", "EXIT", "BRA 0xc0"))
    assert found.looped and len(found.instructions) == 10
    assert sum(each.fma for each in found.instructions) == 8


def test_the_inner_loop_with_most_multiply_adds_is_hot() -> None:
    found = hot(code("MOV R1,RZ",                                   # 0x00
                     "LDG.E R4,[R2]", FFMA, "@P0 BRA 0x10",         # 0x10 a small loop
                     "BAR.SYNC 0x0",                                # 0x40 the outer loop
                     FFMA, FFMA, FFMA, "@P1 BRA 0x50",              # 0x50 the inner one
                     FFMA, FFMA, FFMA, FFMA, "@P2 BRA 0x40",        # 0x90 more of the outer
                     "EXIT"))
    assert [each.address for each in found.instructions] == [0x50, 0x60, 0x70, 0x80]


def test_without_multiply_adds_the_loop_that_loads_most_is_hot() -> None:
    found = hot(code("IADD3 R1,R1,R2,RZ", "@P0 BRA 0x0", "LDG.E R4,[R2]", "@P0 BRA 0x20", "LDG.E.128 R4,[R2]",
                     "@P0 BRA 0x40", "EXIT"))
    assert [each.address for each in found.instructions] == [0x40, 0x50]


def test_without_a_loop_all_that_can_be_reached_is_hot() -> None:
    """Not the branch to itself behind EXIT, nor what pads the end."""
    found = hot(code("LDG.E R4,[R2]", "@P0 EXIT", "STG.E [R2],R4", "EXIT", "BRA 0x40", "NOP"))
    assert not found.looped and len(found.instructions) == 4


def test_a_way_back_from_a_rare_case_is_no_loop() -> None:
    """0x20 goes to the rare case at 0x60 or on; from there it is back to 0x30, which is reached without it, too."""
    found = hot(code("MOV R1,RZ", FFMA, "@P0 BRA 0x60", FFMA, FFMA, "EXIT", "MUFU.RCP R1,R1", "BRA 0x30"))
    assert not found.looped and len(found.instructions) == 8


def test_a_loop_with_two_ways_back_is_one_loop() -> None:
    found = hot(code("MOV R1,RZ", FFMA, "@P0 BRA 0x10", FFMA, "@P1 BRA 0x10", "EXIT"))
    assert [each.address for each in found.instructions] == [0x10, 0x20, 0x30, 0x40]


def test_threads_that_meet_go_on_where_their_barrier_says() -> None:
    """The code of the two arms lies apart: without the target of BSSY, the arm at 0x60 would not be in the loop."""
    found = hot(code("MOV R1,RZ", "BSSY B0,0x40", "@P0 BRA 0x60", "BSYNC B0", FFMA, "@P1 BRA 0x10", FFMA, "BSYNC B0"))
    assert {each.address for each in found.instructions} == {0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70}


def test_branches_are_counted_from_where_the_kernel_begins() -> None:
    (instruction,) = code("@P0 BRA 0x120", start=0x100)
    assert (instruction.address, instruction.target) == (0, 0x20)


def test_branch_on_a_uniform_predicate_may_be_passed() -> None:
    assert hot(code(FFMA, "BRA.U !UP0,0x30", FFMA, "BRA.U UP1,0x0", "EXIT")).looped


@pytest.mark.parametrize(("line", "nbytes"), [
    ("LDG.E.128.CONSTANT R4,[R2]", 16), ("LDG.E.64 R4,[R2]", 8), ("LDG.E R4,[R2]", 4), ("LDG.E.U8 R4,[R2]", 1),
    ("LDG.E.S16 R4,[R2]", 2), ("LDGSTS.E.BYPASS.128 [R1],[R2.64]", 16), ("LDS.U.128 R4,[R2]", 16),
    ("LDSM.16.M88.4 R4,[R2]", 16), ("LDSM.16.M88 R4,[R2]", 4), ("@!PT LDS RZ,[RZ]", 0), ("@P0 LDS R1,[RZ]", 4)])
def test_bytes_per_thread(line: str, nbytes: int) -> None:
    (instruction,) = code(line)
    assert instruction.nbytes == nbytes


@pytest.mark.parametrize(("line", "fma", "tensor"), [
    (FFMA, 1, 0), ("FFMA.FTZ R1,R2,R3,R1", 1, 0), ("FFMA2 R4,R6.F32x2.HI_LO,R8.F32x2.HI_LO,R4.F32x2.HI_LO", 2, 0),
    ("FADD R1,R2,R3", 0, 0), ("@P0 " + FFMA, 1, 0), ("@!PT " + FFMA, 0, 0),
    ("HMMA.1688.F32.TF32 R4,R8,R10,R4", 0, 16 * 8 * 8 / 32), ("HMMA.1684.F32.TF32 R4,R8,R10,R4", 0, 16 * 8 * 4 / 32)])
def test_multiply_adds_per_thread(line: str, fma: int, tensor: float) -> None:
    (instruction,) = code(line)
    assert (instruction.fma, instruction.tensor_fma) == (fma, tensor)


@pytest.mark.parametrize(("architecture", "lines", "cycles", "share", "limiter"), [
    # 64 lanes: 2 cycles for 32 threads, so that 6 others pass unnoticed behind 8 multiply-adds.
    (80, [FFMA] * 8 + ["IADD3 R1,R1,R2,RZ"] * 6, {"fp32": 16, "issue": 14, "shared": 0}, 1.0, "fp32"),
    # 128 lanes: every instruction that is not a multiply-add costs its cycle.
    (90, [FFMA] * 8 + ["IADD3 R1,R1,R2,RZ"] * 2, {"fp32": 8, "issue": 10, "shared": 0}, 0.8, "issue"),
    # IMAD and FADD want the same lanes.
    (80, [FFMA] * 6 + ["IMAD R1,R1,R2,RZ", "FADD R1,R1,R2"], {"fp32": 16, "issue": 8, "shared": 0}, 0.75, "fp32"),
    # 16 bytes x 32 threads are 4 wavefronts, 4 sub-partitions share them.
    (90, [FFMA] * 12 + ["LDS.128 R4,[R2]"] * 3, {"fp32": 12, "issue": 15, "shared": 48}, 0.25, "shared"),
    # An instruction that never runs is issued all the same, and moves nothing.
    (90, [FFMA] * 3 + ["@!PT LDS RZ,[RZ]"], {"fp32": 3, "issue": 4, "shared": 0}, 0.75, "issue"),
    # Two multiply-adds in one issue slot: the lanes are busy for two cycles.
    (100, ["FFMA2 R4,R6,R8,R4"] * 4 + ["LDS R1,[R2]"], {"fp32": 8, "issue": 5, "shared": 4}, 1.0, "fp32"),
    # 1024 multiply-adds at 128 per cycle and sub-partition are 8 cycles.
    (80, ["HMMA.1688.F32.TF32 R4,R8,R10,R4", "LDS R1,[R2]"],
     {"fp32": 0, "issue": 2, "shared": 4, "tensor": 8}, 1.0, "tensor"),
    (90, ["LDG.E R1,[R2]", "FADD R1,R1,R2"], {"fp32": 1, "issue": 2, "shared": 0}, 0.0, "issue")])
def test_ceiling(architecture: int, lines: list[str], cycles: dict[str, float], share: float, limiter: str) -> None:
    found = ceiling(ARCHITECTURES[architecture], code(*lines))
    assert found.cycles == cycles
    assert (found.share, found.limiter) == (share, limiter)


def test_loads_in_flight_until_the_first_result_is_read() -> None:
    lines = code("LDG.E.128 R4,[R2]", "LDG.E.128 R8,[R2+0x10]", "LDG.E R12,[R2+0x20]", "FADD R1,R9,R9",
                 "LDG.E R13,[R2+0x24]", "FADD R1,R1,R4")
    assert traffic(lines, looped=False) == Traffic((16 + 16 + 4 + 4) / 4, 3)


def test_a_load_for_the_next_turn_of_a_loop_stays_in_flight() -> None:
    """Each turn uses what the last one loaded, after it has loaded its own into the other register."""
    lines = code("LDG.E R5,[R2]", "FADD R1,R1,R4", "LDG.E R4,[R3]", "FADD R1,R1,R5", "@P0 BRA 0x0")
    assert traffic(lines, looped=False).in_flight == 2
    lines = code("FADD R1,R1,R4", "LDG.E R4,[R3]", "LDG.E R5,[R3]", "BAR.SYNC 0x0", "FADD R1,R1,R5", "LDG.E R6,[R3]",
                 "LDG.E R7,[R3]", "@P0 BRA 0x0")
    assert traffic(lines, looped=True).in_flight == 4
    assert traffic(code("FADD R1,R1,R2"), looped=True) == Traffic(0.0, 0)
