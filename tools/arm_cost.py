"""What a layer costs on Arm, without a board: instructions counted in emulation, cycles estimated.

    python tools/arm_cost.py                      everything; writes docs/results/arm_cost.json
    python tools/arm_cost.py --write-table        only the table of docs/devices.md
    python tools/arm_cost.py --models 14x14x256 --cores cortex-a72 --json /tmp/cost.json
    python tools/arm_cost.py --input-bits 4       inputs of 4 bits; arm_cost_low_bits.json

Rows of other cores and models that the file holds are kept.

Instructions are exact: qemu counts what one invoke executes, the runtime's share included. Cycles
are an estimate: llvm-mca's steady-state cycles of each hot block of code, times how often it ran.
That leaves out cache misses and branch mispredictions, so it is kinder to code with large tables
and irregular loops, ours, than a board will be. docs/devices.md says so beside the figures.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import geometric_mean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from arm import emulation  # noqa: E402
from arm.emulation import CACHE, Architecture, Core, Package  # noqa: E402

RESULTS = ROOT / "docs/results/arm_cost.json"
LOW_BITS = ROOT / "docs/results/arm_cost_low_bits.json"  # compared with the stock rows of RESULTS
PAGE = ROOT / "docs/devices.md"
HOT_BLOCKS = 400
COUNT_INVOKES = str(ROOT / "tools/arm/count_invokes.py")
# llvm-mca's processors for a core. Its cortex-a76 is a copy of its cortex-a72; the Neoverse N1 is
# the server version of the same core. It has no usable model of the A53 and the A7. The emulated
# core with i8mm stands for three: N2 (as Cortex-A710: two vector units), V1 (as Cortex-X1, with
# i8mm) and V2 (as Cortex-X3), with four.
MCA_MODELS = {
    "cortex-a72": ("cortex-a72",),
    "cortex-a76": ("neoverse-n1",),
    "i8mm": ("neoverse-n2", "neoverse-v1", "neoverse-v2"),
}
LLVM = "-19"
_STOCK_IS_RUY = {core.name for core in emulation.ARMV7.cores}  # no XNNPACK in that runtime's wheel


def _marks(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One model on one side of the comparison."""

    model: str  # a layer of LAYERS, or a network
    activations: str
    side: str  # ours or stock
    pattern: tuple[int, int] = (0, 0)
    input_bits: int = 8  # of our layers

    @property
    def key(self) -> str:
        pattern = f"_{self.pattern[0]}of{self.pattern[1]}" if self.pattern[1] else ""
        bits = f"_{self.input_bits}bits" if self.input_bits < 8 else ""
        return f"{self.side}_{self.activations}{pattern}{bits}"


def cases_of(model: str, input_bits: int = 8) -> list[Case]:
    cases = [
        Case(model, "int8", "ours", input_bits=input_bits),
        Case(model, "int8", "ours", (2, 10), input_bits),
    ]
    if input_bits < 8:
        return cases
    cases.insert(0, Case(model, "int8", "stock"))
    if model in model_names():
        cases += [Case(model, "float32", "stock"), Case(model, "float32", "ours")]
    return cases


def model_names() -> list[str]:
    from tf_signbin.benchmark.layers import LAYER_GROUPS

    return [layer.name for layer in LAYER_GROUPS["3x3"]] + ["resnet18"]


def other_layers() -> list[str]:
    """Strided, 1x1, 5x5, dilated and fully connected ones, which are counted with int8 alone."""
    from tf_signbin.benchmark.layers import select_layers

    return [x.name for x in select_layers("all") if x.name not in model_names()]


def write_model(case: Case, path: Path) -> int:
    """Writes the .tflite file of a case; the multiply-adds of a layer, 0 for a network."""
    from tf_signbin.benchmark.layers import select_layers
    from tf_signbin.benchmark.networks import NETWORKS, network_model
    from tf_signbin.benchmark.weights import WeightSpec
    from tf_signbin.convert.rewrite import pack

    spec = WeightSpec(pattern=case.pattern)
    macs = 0
    if case.model in NETWORKS:
        model = network_model(case.model, case.activations, spec, input_bits=case.input_bits)
    else:
        layer = next(x for x in select_layers("all") if x.name == case.model)
        model = layer.model(case.activations, spec, input_bits=case.input_bits)
        macs = layer.macs
    path.write_bytes(pack(model)[0] if case.side == "ours" else model)
    return macs


def build_plugin() -> Path:
    emulation.require("cc")
    CACHE.mkdir(parents=True, exist_ok=True)
    plugin = CACHE / "libinsncount.so"
    source = ROOT / "tools/arm/insncount.c"
    if not plugin.exists() or plugin.stat().st_mtime < source.stat().st_mtime:
        command = ["cc", "-O2", "-fPIC", "-shared", str(source), "-o", str(plugin)]
        subprocess.run(command, check=True)
    return plugin


def write_models(cases: list[Case], folder: Path) -> tuple[list[str], list[int]]:
    """The arguments of count_invokes.py for the cases' files, and their multiply-adds."""
    arguments, macs = [], []
    for case in cases:
        path = folder / f"{case.model.replace('/', '_')}_{case.key}.tflite"
        macs.append(write_model(case, path))
        arguments.append(f"{path}:{case.side}")
    return arguments, macs


def counted_spans(
    core: str, command: list[str], environment: dict[str, str], out: Path, cases: int
) -> list[dict[str, Any]]:
    """Runs count_invokes.py in emulation; a span of insncount.c a case, with its `kernels`."""
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"{core}: exit status {run.returncode}\n{run.stderr[-2000:]}")
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    spans = json.loads(out.read_text())
    if not len(lines) == len(spans) == cases:
        raise RuntimeError(f"{core}: {len(spans)} spans of {cases} cases")
    return [span | line for span, line in zip(spans, lines, strict=True)]


def count(
    architecture: Architecture, core: Core, package: Package, cases: list[Case], folder: Path
) -> list[dict[str, Any]]:
    """One span of insncount.c for each case, with its `kernels` and `macs`."""
    models, macs = write_models(cases, folder)
    out = folder / "spans.json"
    plugin = f"{build_plugin()},mark={architecture.getppid},top={HOT_BLOCKS},out={out}"
    command, environment = emulation.emulated_python(
        architecture, core, package, [COUNT_INVOKES, *models], plugin
    )
    spans = counted_spans(core.name, command, environment, out, len(cases))
    return [span | {"macs": m} for span, m in zip(spans, macs, strict=True)]


def estimate_cycles(blocks: list[dict[str, Any]], instructions: int, model: str) -> dict[str, Any]:
    """Cycles of a span by llvm-mca, blocks beyond the hottest at the average of the others.

    Returns:
      cycles, and covered: the share of instructions in analysed blocks.
    """
    blocks = join_blocks(blocks)
    source = []
    for number, block in enumerate(blocks):
        text = _disassemble(block["bytes"])
        source += [f"# LLVM-MCA-BEGIN {number}", *text, f"# LLVM-MCA-END {number}"]
    # The difference leaves out how the pipeline fills before the first iteration.
    few, many = (_simulate(source, model, iterations) for iterations in (30, 60))
    cycles, covered = 0.0, 0
    for number, block in enumerate(blocks):
        cycles += block["runs"] * (many[number] - few[number]) / 30
        covered += block["runs"] * len(block["bytes"])
    return {"cycles": cycles * instructions / covered, "covered": covered / instructions}


_BRANCH = re.compile(r"(b|bl|br|blr|ret|svc|cbz|cbnz|tbz|tbnz)(\.\w+)?(\s|$)")


def join_blocks(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks of A64 code that end without a branch, with the block that they run into.

    qemu cuts its blocks where a page ends, and the half of a loop would be taken for a loop.
    """
    blocks = [dict(block) for block in blocks]
    at = {block["address"]: block for block in blocks}
    for block in sorted(blocks, key=lambda b: -b["address"]):  # a block's successor comes first
        successor = at.get(block["address"] + 4 * len(block["bytes"]))
        if successor is None or _BRANCH.match(block["text"][-1].strip()):
            continue
        successor["runs"] -= block["runs"]
        block["bytes"] = block["bytes"] + successor["bytes"]
        block["text"] = block["text"] + successor["text"]
    return [block for block in blocks if block["runs"] > 0]


def _simulate(source: list[str], model: str, iterations: int) -> dict[int, int]:
    """Cycles of that many iterations of each numbered block, by llvm-mca."""
    run = subprocess.run(
        [f"llvm-mca{LLVM}", "-mtriple=aarch64", f"-mcpu={model}", "-mattr=+dotprod,+fullfp16,+i8mm",
         f"-iterations={iterations}", "-json", "-skip-unsupported-instructions=lack-sched"],
        input="\n".join(source) + "\n", capture_output=True, text=True,
    )  # fmt: skip
    if run.returncode != 0:
        raise RuntimeError(f"llvm-mca: {run.stderr[-2000:]}")
    regions = json.loads(run.stdout)["CodeRegions"]
    return {int(r["Name"]): r["SummaryView"]["TotalCycles"] for r in regions}


_disassembled: dict[str, str] = {}


def _disassemble(words: list[str]) -> list[str]:
    """LLVM's text of A64 instructions, each four bytes in hexadecimal."""
    unknown = sorted({word for word in words if word not in _disassembled})
    if unknown:
        lines = [" ".join(f"0x{word[i : i + 2]}" for i in range(0, 8, 2)) for word in unknown]
        run = subprocess.run(
            [f"llvm-mc{LLVM}", "--disassemble", "-triple=aarch64", "-mattr=+all"],
            input="\n".join(lines), capture_output=True, text=True, check=True,
        )  # fmt: skip
        texts = [line.strip() for line in run.stdout.splitlines() if line.startswith("\t")]
        texts = [text for text in texts if not text.startswith(".")]
        if len(texts) != len(unknown):
            raise RuntimeError(f"llvm-mc understood {len(texts)} of {len(unknown)}: {run.stderr}")
        _disassembled.update(zip(unknown, texts, strict=True))
    return [_disassembled[word] for word in words]


def measure(
    architecture: Architecture, core: Core, models: list[str], input_bits: int = 8
) -> list[dict[str, Any]]:
    """One row a model and case."""
    package = architecture.runtimes[0]
    cases = [case for model in models for case in cases_of(model, input_bits)]
    with tempfile.TemporaryDirectory() as folder:
        spans = count(architecture, core, package, cases, Path(folder))
    rows = []
    for case, span in zip(cases, spans, strict=True):
        row = {
            "core": core.name, "date": date.today().isoformat(),
            "runtime": package.requirements[0], "model": case.model, "case": case.key,
            "macs": span["macs"], "kernels": span["kernels"],
            "instructions": span["instructions"],
        }  # fmt: skip
        for model in MCA_MODELS.get(core.name, ()):
            mca = estimate_cycles(span["blocks"], span["instructions"], model)
            row |= {f"cycles {model}": round(mca["cycles"]), "covered": round(mca["covered"], 3)}
        rows.append(row)
    return rows


def merge(
    kept: list[dict[str, Any]], rows: list[dict[str, Any]], cores: list[str], models: list[str]
) -> list[dict[str, Any]]:
    """Old rows, replaced by new ones of the same core, model and case, by core and model."""
    merged = {(r["core"], r["model"], r["case"]): r for r in [*kept, *rows]}
    return sorted(merged.values(), key=lambda r: (cores.index(r["core"]), models.index(r["model"])))


def units_of(core: str) -> list[str]:
    """The fields of a core's rows that are counts: instructions, and cycles by each model."""
    return ["instructions", *(f"cycles {model}" for model in MCA_MODELS.get(core, ()))]


def table(result: dict[str, Any]) -> str:
    """Markdown: for every core and model, stock and ours, with ratios (above 1: fewer for ours)."""
    rows = {(r["core"], r["model"], r["case"]): r for r in result["rows"]}
    others = {key: row for key, row in rows.items() if key[1] in other_layers()}
    rows = {key: row for key, row in rows.items() if key not in others}
    lines = []
    for core in dict.fromkeys(core for core, _, _ in rows):
        of_core = [row for key, row in rows.items() if key[0] == core]
        runtime = of_core[0]["runtime"]
        dates = " and ".join(sorted({row["date"] for row in of_core}))
        for unit in units_of(core):
            kind, _, model = unit.partition(" ")
            named = f"estimated {kind} (llvm-mca, {model})" if model else kind
            lines += [f"**{core}**, {runtime}, {dates}: millions of {named} an invoke", ""]
            lines += [*_unit_table(rows, core, unit), ""]
    if others:
        lines += [*_others_table(others), ""]
    lines.append("Counted with `python tools/arm_cost.py`.")
    return "\n".join(lines) + "\n"


def _unit_table(
    rows: dict[tuple[str, str, str], dict[str, Any]], core: str, unit: str
) -> list[str]:
    stock = "XNNPACK" if core not in _STOCK_IS_RUY else "stock"
    columns = [
        ("int8", "stock_int8"),
        ("int8", "ours_int8"),
        ("int8", "ours_int8_2of10"),
        ("float32", "stock_float32"),
        ("float32", "ours_float32"),
    ]
    lines = [
        f"| | int8: {stock} | ours | 2 of 10 | float32: {stock} | ours |",
        "|---|---|---|---|---|---|",
    ]
    ratios: dict[str, list[float]] = {}
    for model in dict.fromkeys(model for c, model, _ in rows if c == core):
        cells = [model]
        for kind, case in columns:
            row, base = rows[core, model, case], rows[core, model, f"stock_{kind}"]
            notes = []
            if unit != "instructions" and row["macs"]:
                notes.append(f"{row['macs'] / row[unit]:.0f} MAC/cycle")
            if row is not base:
                ratio = base[unit] / row[unit]
                notes.append(f"{ratio:.2f}x")
                if row["macs"]:
                    ratios.setdefault(case, []).append(ratio)
            cells.append(f"{row[unit] / 1e6:.1f}" + (f" ({', '.join(notes)})" if notes else ""))
        lines.append(f"| {' | '.join(cells)} |")
    means = (f"{geometric_mean(ratios[c]):.2f}x" if c in ratios else "" for _, c in columns)
    if ratios:
        lines.append(f"| geometric mean of the layers | {' | '.join(means)} |")
    return lines


def _others_table(rows: dict[tuple[str, str, str], dict[str, Any]]) -> list[str]:
    """Ratios alone, a column a core and model of it."""
    columns = [
        (core, unit)
        for core in dict.fromkeys(core for core, _, _ in rows)
        for unit in (units_of(core)[1:] or ["instructions"])
    ]
    dates = " and ".join(sorted({row["date"] for row in rows.values()}))
    names = [f"{core}, {unit.removeprefix('cycles ')}" for core, unit in columns]
    lines = [
        f"**The other layers**, int8, {dates}: how many times the instructions or estimated cycles "
        "of ours XNNPACK takes (with 2 of 10)",
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    least: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    counted = {model for _, model, _ in rows}
    for model in (name for name in other_layers() if name in counted):
        cells = [model]
        for core, unit in columns:
            if (core, model, "stock_int8") not in rows:
                cells.append("")
                continue
            stock, *ours = (
                rows[core, model, case][unit]
                for case in ("stock_int8", "ours_int8", "ours_int8_2of10")
            )
            ratios = tuple(stock / our for our in ours)
            least.setdefault((core, unit), []).append(ratios)
            cells.append("{:.2f} ({:.2f})".format(*ratios))
        lines.append(f"| {' | '.join(cells)} |")
    smallest = ["{:.2f} ({:.2f})".format(*map(min, zip(*least[c], strict=True))) for c in columns]
    return [*lines, f"| least | {' | '.join(smallest)} |"]


def low_bits_table(rows: list[dict[str, Any]], stock: list[dict[str, Any]]) -> str:
    """Markdown: ratios over the stock rows, a column a core and model of it, by bits."""
    base = {(r["core"], r["model"]): r for r in stock if r["case"] == "stock_int8"}
    columns = [
        (core, unit) for core in dict.fromkeys(r["core"] for r in rows) for unit in units_of(core)
    ]
    names = [f"{core}, {unit.replace('cycles ', 'cycles of ')}" for core, unit in columns]
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(columns)}"]
    for case in dict.fromkeys(r["case"] for r in rows):
        label = case.removeprefix("ours_int8_").replace("2of10_", "2 of 10, ")
        ratios: dict[tuple[str, str], list[float]] = {}
        of_case = {(r["core"], r["model"]): r for r in rows if r["case"] == case}
        for model in dict.fromkeys(model for _, model in of_case):
            cells = [f"{model}, {label.replace('bits', ' bits')}"]
            for core, unit in columns:
                row = of_case.get((core, model))
                if row is None or (core, model) not in base:
                    cells.append("")
                    continue
                ratio = base[core, model][unit] / row[unit]
                if row["macs"]:
                    ratios.setdefault((core, unit), []).append(ratio)
                cells.append(f"{row[unit] / 1e6:.2f} ({ratio:.2f}x)")
            lines.append(f"| {' | '.join(cells)} |")
        means = [f"**{geometric_mean(ratios[c]):.2f}x**" if c in ratios else "" for c in columns]
        lines.append(f"| geometric mean of the layers | {' | '.join(means)} |")
    dates = " and ".join(sorted({row["date"] for row in rows}))
    return (
        "\n".join(
            [*lines, "", f"Counted on {dates} with `python tools/arm_cost.py --input-bits 4`."]
        )
        + "\n"
    )


def with_table(text: str, result: dict[str, Any]) -> str:
    return _marks("arm-cost").sub(lambda match: match[1] + table(result) + match[2], text)


def with_low_bits_table(text: str, rows: list[dict[str, Any]], stock: list[dict[str, Any]]) -> str:
    found = low_bits_table(rows, stock)
    return _marks("arm-low-bits").sub(lambda match: match[1] + found + match[2], text)


def _rows_of(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["rows"] if path.exists() else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    cores = {core.name: a for a in emulation.ARCHITECTURES.values() for core in a.cores}
    parser.add_argument("--cores", nargs="+", choices=cores, default=list(cores))
    models = [*model_names(), *other_layers()]
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--json", type=Path, help="default: the page's own file")
    parser.add_argument("--input-bits", type=int, choices=(4, 5, 6, 8), default=8)
    parser.add_argument("--write-table", action="store_true", help="only docs/devices.md's table")
    arguments = parser.parse_args()
    low_bits = arguments.input_bits < 8
    path = arguments.json or (LOW_BITS if low_bits else RESULTS)
    if not arguments.write_table:
        emulation.require(f"llvm-mc{LLVM}", f"llvm-mca{LLVM}")
        rows: list[dict[str, Any]] = []
        for name in arguments.cores:
            architecture = cores[name]
            emulation.build(architecture, tests=False)
            core = architecture.core(name)
            rows += measure(architecture, core, arguments.models, arguments.input_bits)
        result = {"rows": merge(_rows_of(path), rows, list(cores), models)}
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(low_bits_table(rows, _rows_of(RESULTS)) if low_bits else table(result))
    if path in (RESULTS, LOW_BITS):
        page = with_table(PAGE.read_text(), {"rows": _rows_of(RESULTS)})
        PAGE.write_text(with_low_bits_table(page, _rows_of(LOW_BITS), _rows_of(RESULTS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
