"""Writes the page. It refers to nothing outside itself and runs no script."""

from __future__ import annotations

from html import escape
from typing import Any

from tf_signbin.costs import DENSE
from tf_signbin.report import charts

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6876; --line: #dde3ea; --back: #fff;
  --card: #f6f8fa; --ours: #0b6e4f; --other: #9aa7b5; --s1: #c0752a; --s2: #8e3b8a; --s3: #2a6fb0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #9fb0c0; --line: #33404d;
  --back: #14191f; --card: #1c242d; --ours: #3fbf92; --other: #5f6f7f; --s1: #e09a55;
  --s2: #cf7fca; --s3: #6fb1f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, figcaption { color: var(--soft); margin: .3rem 0; }
.tiles { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
.tile { background: var(--card); border-radius: .5rem; padding: .75rem; }
.tile b { display: block; font-size: 1.3rem; white-space: nowrap; }
.tile span { color: var(--soft); font-size: .85rem; }
.bar { display: grid; grid-template-columns: minmax(6rem, 14rem) 1fr 9rem; gap: .5rem;
  align-items: center; margin: .2rem 0; font-size: .9rem; }
.label { overflow-wrap: anywhere; }
.track { background: var(--card); border-radius: .2rem; height: 1rem; }
.fill { display: block; height: 100%; border-radius: .2rem; background: var(--other); }
.fill.ours { background: var(--ours); }
@media (max-width: 36rem) { .bar { grid-template-columns: 1fr auto; }
  .track { grid-column: 1 / 3; grid-row: 2; } svg { font-size: 20px; } }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; white-space: nowrap; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
figure { margin: 0; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: var(--soft); }
svg .grid { stroke: var(--line); }
svg polyline { fill: none; stroke-width: 2.5; stroke: var(--ours); }
svg .s1 { stroke: var(--s1); } svg .s2 { stroke: var(--s2); } svg .s3 { stroke: var(--s3); }
svg .ref { stroke: var(--soft); stroke-dasharray: 4 4; }
.key::before { content: ""; display: inline-block; width: 1em; height: .25em;
  margin: 0 .3em .2em .8em; background: var(--ours); }
.key.s1::before { background: var(--s1); } .key.s2::before { background: var(--s2); }
.key.s3::before { background: var(--s3); } .key.ref::before { background: var(--soft); }
"""


def render(result: dict[str, Any]) -> str:
    """The whole HTML document for what collect() gathered."""
    title = f"{result['model']}: signed-binary report"
    sections = [
        _tiles(result), _latency(result), _training(result), _tradeoff(result), _density(result),
        _layers(result), _machine(result),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # An empty icon: browsers ask for /favicon.ico otherwise.
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(result['model'])}</h1>\n" + "\n".join(filter(None, sections)) + "\n</body>\n"
        "</html>\n"
    )


def _tiles(result: dict[str, Any]) -> str:
    totals = result["info"]["totals"]
    own, stock = result["latency"][:2]
    tiles = [
        (f"{own['median_ms']:.3g} ms", "an invoke in the delegate (median)"),
        (f"{stock['ratio']:.2f}x", f"as fast as the same weights dense in {stock['kernels']}"),
        (f"{result['file_bytes'] / 1024:,.0f} KiB", "file"),
        (f"{totals['smaller_than_int8']:.1f}x", "smaller weights than int8"),
        (f"{totals['density']:.0%}", "of packed weights are effectual"),
    ]
    if "accuracy" in result:
        accuracy = result["accuracy"]
        text = f"top-1 accuracy in the delegate on {accuracy['samples']:,} samples"
        tiles.insert(0, (f"{accuracy['top1']:.2%}", text))
    body = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(text)}</span></div>'
        for value, text in tiles
    )
    return f'<div class="tiles">{body}</div>'


def _latency(result: dict[str, Any]) -> str:
    rows = [
        (
            row["name"] if index == 0 else f"{row['name']} ({row['kernels']})",
            row["median_ms"],
            f"{row['median_ms']:.3g} ms" + ("" if index == 0 else f" ({row['ratio']:.2f}x)"),
            index == 0,
        )
        for index, row in enumerate(result["latency"])
    ]
    return (
        f"<h2>Latency</h2>{charts.bars(rows)}<p>Medians of {result['latency'][0]['rounds']} "
        f"interleaved invokes, {result['threads']} thread(s), "
        f"{escape(result['machine']['runtime'])}.{_missing_bars(result)}</p>"
    )


def _missing_bars(result: dict[str, Any]) -> str:
    """Says why a comparison with XNNPACK that the reader may look for is not there."""
    notes = []
    for row in result["latency"][1:]:
        if row["kernels"] != "XNNPACK":
            notes.append(f"XNNPACK took no operator of {row['name']!r} in this runtime.")
    if len(result["latency"]) == 2:
        notes.append(
            "The dense model has the packed one's activations; another precision, for example "
            "fp32, is shown when its file is given: --compare fp32=FILE."
        )
    return escape("".join(f" {note}" for note in notes))


def _training(result: dict[str, Any]) -> str:
    columns = result.get("training")
    if not columns:
        return ""
    epochs = columns.get("epoch") or list(range(len(next(iter(columns.values())))))
    shown = {name: ys for name, ys in columns.items() if "acc" in name.lower()}
    if not shown:
        shown = {name: ys for name, ys in columns.items() if "loss" in name.lower()}
    if not shown:
        return ""
    return f"<h2>Training</h2>{charts.lines(epochs, shown, 'epoch', ', '.join(shown))}"


def _tradeoff(result: dict[str, Any]) -> str:
    """Additions of all packed layers for each group size that every layer was examined at."""
    layers = result["analysis"]["layers"]
    outputs = [layer["outputs_per_sample"] for layer in layers]
    common = set.intersection(*({cost["group"] for cost in layer["groups"]} for layer in layers))
    groups = sorted(common)
    by_group = [{cost["group"]: cost for cost in layer["groups"]} for layer in layers]

    def total(key: str, group: int) -> float:
        return sum(
            costs[group][key] * count for costs, count in zip(by_group, outputs, strict=True)
        )

    series = {
        "non-empty look-ups": [total("nonempty_lookups_per_output", group) for group in groups],
        "building tables": [total("table_adds_per_output", group) for group in groups],
        "together": [total("shared_adds_per_output", group) for group in groups],
    }
    dense = sum(layer["macs_per_sample"] for layer in layers)
    chart = charts.lines(
        groups, series, "input channels that share a table", "additions an inference",
        ("dense multiply-accumulates", dense),
    )  # fmt: skip
    best = sum(
        layer["shared_adds_per_output"] * count
        for layer, count in zip(layers, outputs, strict=True)
    )
    return (
        f"<h2>Repetition and sparsity</h2>{chart}<p>At each layer's best group size the packed "
        f"layers need {dense / best:.1f} times fewer additions than a dense run needs "
        "multiply-accumulates.</p>"
    )


def _density(result: dict[str, Any]) -> str:
    rows = [
        (layer["name"], layer["density"], f"{layer['density']:.1%}", True)
        for layer in result["info"]["layers"]
        if layer["kind"] != DENSE
    ]
    return f"<h2>Density of each packed layer</h2>{charts.bars(rows, most=1.0)}"


def _layers(result: dict[str, Any]) -> str:
    times = {layer["tensor"]: layer for layer in result["analysis"]["layers"]}
    header = (
        "layer", "kind", "type", "filter", "density", "pattern", "bytes", "bits", "ms", "dense ms",
        "kernel",
    )  # fmt: skip
    rows = []
    for layer in result["info"]["layers"]:
        run = times.get(layer["tensor"], {})
        packed = layer["kind"] != DENSE
        rows.append(
            (
                layer["name"], layer["kind"], layer["input_type"],
                "x".join(map(str, layer["filter_shape"])),
                f"{layer['density']:.2f}" if packed else "",
                "{} of {}".format(*layer["pattern"]) if layer["pattern"][1] else "",
                f"{layer['weight_bytes']:,}", f"{layer['bits_per_weight']:.1f}",
                f"{run['measured_ms']:.3f}" if run else "",
                f"{run['dense_ms']:.3f}" if run else "", run.get("kernel", ""),
            )
        )  # fmt: skip
    return (
        '<h2>Layers</h2><div class="scroll"><table><thead><tr>'
        + "".join(f"<th>{name}</th>" for name in header)
        + "</tr></thead><tbody>"
        + "".join(
            "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        + "</tbody></table></div>"
    )


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return (
        f"<h2>Machine</h2><p>{escape(machine['cpu'])} "
        f"({escape(' '.join(machine['cpu_features']))}), {machine['cores']} cores, "
        f"{escape(machine['system'])}</p>"
        f"<p>Python {escape(machine['python'])}, {escape(versions)}</p>"
    )
