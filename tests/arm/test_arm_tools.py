"""The tools that count and estimate the cost on Arm, on inputs whose result is known."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tools import arm_cost, cross_test
from tools.arm_cost import emulation

needs_cross = pytest.mark.skipif(
    not all(map(shutil.which, ("qemu-aarch64", "aarch64-linux-gnu-gcc", "cc"))),
    reason="needs qemu-user, g++-aarch64-linux-gnu and a C compiler",
)
needs_mca = pytest.mark.skipif(
    not all(shutil.which(f"{name}{arm_cost.LLVM}") for name in ("llvm-mc", "llvm-mca")),
    reason="needs llvm-19",
)

# Between the marks: mov (the loop counter), 1000 times add, subs, b.ne, and before the second mark
# mov, svc, which the first mark's own return does not count.
_PROGRAM = """
.globl _start
_start:
  mov x8, 173
  svc 0
  mov x1, 1000
1: add x2, x2, 1
  subs x1, x1, 1
  b.ne 1b
  mov x8, 173
  svc 0
  mov x8, 93
  mov x0, 0
  svc 0
"""


def word(text: str) -> str:
    """An A64 instruction, given as its number in hexadecimal, as insncount.c writes it."""
    return bytes.fromhex(text)[::-1].hex()


def block(address: int, texts: list[str], runs: int, instruction: str = "4e628420") -> dict:
    return {"address": address, "text": texts, "bytes": [word(instruction)] * len(texts),
            "runs": runs}  # fmt: skip


@needs_cross
def test_instructions_are_counted_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(arm_cost, "CACHE", tmp_path)
    source, program, out = (tmp_path / name for name in ("p.s", "p", "spans.json"))
    source.write_text(_PROGRAM)
    subprocess.run(
        ["aarch64-linux-gnu-gcc", "-nostdlib", "-static", source, "-o", program], check=True
    )
    plugin = f"{arm_cost.build_plugin()},mark=173,top=5,out={out}"
    subprocess.run(["qemu-aarch64", "-plugin", plugin, program], check=True)
    (span,) = json.loads(out.read_text())
    assert span["instructions"] == 1 + 3 * 1000 + 2
    # The loop's first iteration belongs to the block that leads into it.
    hottest = max(span["blocks"], key=lambda b: b["runs"])
    assert hottest["runs"] == 999
    assert [text.split()[0] for text in hottest["text"]] == ["add", "subs", "b.ne"]


def test_a_loop_that_crosses_a_page_is_one_block():
    blocks = [
        block(0x1FF8, ["ldr q0, [x0]", "add v0.8h, v0.8h, v1.8h"], 90),  # runs into the next page
        block(0x2000, ["subs x1, x1, #1", "b.ne #0x1ff8"], 100),  # ten times entered otherwise
        block(0x2008, ["ret"], 5),  # follows a branch
    ]
    joined = {b["address"]: b for b in arm_cost.join_blocks(blocks)}
    assert [t.split()[0] for t in joined[0x1FF8]["text"]] == ["ldr", "add", "subs", "b.ne"]
    assert (joined[0x1FF8]["runs"], joined[0x2000]["runs"], joined[0x2008]["runs"]) == (90, 10, 5)
    assert blocks[1]["runs"] == 100, "the argument is left alone"
    total = sum(b["runs"] * len(b["bytes"]) for b in joined.values())
    assert total == sum(b["runs"] * len(b["bytes"]) for b in blocks)


@needs_mca
@pytest.mark.parametrize(
    ("instruction", "core", "cycles"),
    [
        # Throughput from Arm's Software Optimization Guides: two additions a cycle on both cores;
        # one 128-bit load a cycle on the A72, two on the N1.
        ("4e628420", "cortex-a72", 0.5),  # add v0.8h, v1.8h, v2.8h
        ("4e628420", "neoverse-n1", 0.5),
        ("3dc00000", "cortex-a72", 1.0),  # ldr q0, [x0]
        ("3dc00000", "neoverse-n1", 0.5),
    ],
)
def test_cycles_of_known_instructions(instruction, core, cycles):
    runs, length = 1000, 16
    known = block(0x1000, ["x"] * (length - 1) + ["ret"], runs, instruction)
    estimate = arm_cost.estimate_cycles([known], 2 * runs * length, core)
    assert estimate["covered"] == 0.5
    # Code that is not analysed counts at the average of what is.
    assert estimate["cycles"] == pytest.approx(2 * runs * length * cycles, rel=0.02)


def test_table_shows_ratios_and_their_mean():
    def row(model, case, macs, cycles):
        return {"core": "cortex-a72", "date": "2000-01-01", "runtime": "r", "model": model,
                "case": case, "macs": macs, "kernels": [], "instructions": 2 * cycles,
                "cycles cortex-a72": cycles}  # fmt: skip

    rows = []
    for model, macs, ours in (("a", 64_000_000, 1_000_000), ("b", 64_000_000, 4_000_000)):
        rows += [row(model, f"stock_{kind}", macs, 4_000_000) for kind in ("int8", "float32")]
        cases = ("ours_int8", "ours_int8_2of10", "ours_float32")
        rows += [row(model, case, macs, ours) for case in cases]
    text = arm_cost.table({"rows": rows})
    assert "| a | 4.0 (16 MAC/cycle) | 1.0 (64 MAC/cycle, 4.00x) |" in text
    assert "| geometric mean of the layers |  | 2.00x | 2.00x |  | 2.00x |" in text
    page = "before\n<!-- arm-cost:begin -->\nold\n<!-- arm-cost:end -->\nafter\n"
    written = arm_cost.with_table(page, {"rows": rows})
    assert "old" not in written
    assert written.startswith("before\n")
    assert written.endswith("<!-- arm-cost:end -->\nafter\n")


def test_low_bits_are_compared_with_the_stock_runtime_of_the_core():
    def row(core, case, cycles, macs=1):
        return {"core": core, "date": "2000-01-01", "model": "a" if macs else "net", "case": case,
                "macs": macs, "instructions": cycles, "cycles cortex-a72": cycles}  # fmt: skip

    stock = [row("cortex-a72", "stock_int8", 8_000_000), row("cortex-a53", "stock_int8", 9_000_000)]
    stock.append(row("cortex-a72", "stock_int8", 6_000_000, macs=0))
    rows = [row(c, "ours_int8_4bits", 2_000_000) for c in ("cortex-a72", "cortex-a53")]
    rows += [row("cortex-a72", f"ours_int8_{p}4bits", 1_000_000, m) for p, m in
             (("2of10_", 1), ("", 0))]  # fmt: skip
    text = arm_cost.low_bits_table(rows, stock)
    assert "| a, 4 bits | 2.00 (4.00x) | 2.00 (4.00x) | 2.00 (4.50x) |" in text
    assert "| net, 4 bits | 1.00 (6.00x) | 1.00 (6.00x) |  |" in text
    assert "| a, 2 of 10, 4 bits | 1.00 (8.00x) | 1.00 (8.00x) |  |" in text
    # A network is no layer, and does not count in their mean.
    assert "| geometric mean of the layers | **4.00x** | **4.00x** | **4.50x** |" in text
    page = arm_cost.with_low_bits_table(
        "x\n<!-- arm-low-bits:begin -->\nold\n<!-- arm-low-bits:end -->\n", rows, stock
    )
    assert "old" not in page
    assert text in page


def test_new_rows_replace_old_ones_in_order():
    def row(core, model, instructions):
        return {"core": core, "model": model, "case": "ours_int8", "instructions": instructions}

    kept = [row("b", "m", 1), row("a", "n", 2)]
    merged = arm_cost.merge(kept, [row("a", "n", 3), row("a", "m", 4)], ["a", "b"], ["m", "n"])
    assert merged == [row("a", "m", 4), row("a", "n", 3), row("b", "m", 1)]


def test_library_facts_agree_with_the_elf_reader(delegate_library):
    facts = cross_test.library_facts(delegate_library)
    assert facts["bytes"] == delegate_library.stat().st_size
    assert "libc.so.6" in facts["needed"]
    assert not any(name.startswith("libstdc++") for name in facts["needed"])
    assert "GLIBC" in facts["versions"]


@pytest.fixture
def delegate_library():
    from tools import matrix

    return matrix.native_library()


def test_missing_programs_are_named_with_the_way_out():
    with pytest.raises(emulation.ToolMissingError, match=r"no-such-program.*apt-get install"):
        emulation.require("sh", "no-such-program")
