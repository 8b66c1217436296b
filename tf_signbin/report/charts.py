"""Small charts as HTML and SVG text: they scale to the page's width and follow its colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def bars(rows: Sequence[tuple[str, float, str, bool]], most: float = 0.0) -> str:
    """Horizontal bars: (label, value, text at the bar, whether it is the one to look at).

    `most` is the value of a full bar; 0: the largest of the rows.
    """
    most = most or max((value for _, value, _, _ in rows), default=0.0) or 1.0
    parts = []
    for label, value, text, ours in rows:
        share = max(100 * value / most, 0.5)
        parts.append(
            f'<div class="bar"><span class="label">{escape(label)}</span>'
            f'<span class="track"><span class="fill{" ours" if ours else ""}" '
            f'style="width:{share:.1f}%"></span></span>'
            f'<span class="value">{escape(text)}</span></div>'
        )
    return f'<div class="bars">{"".join(parts)}</div>'


def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    x_label: str,
    y_label: str,
    reference: tuple[str, float] | None = None,
) -> str:
    """Line chart with a legend; `reference` is a dotted horizontal line."""
    width, height, left, bottom, top = 640, 300, 56, 40, 12
    values = [value for ys in series.values() for value in ys]
    most = max([*values, *([reference[1]] if reference else [])]) or 1.0
    low_x, high_x = min(x), max(x)
    span = (high_x - low_x) or 1.0

    def place(px: float, py: float) -> tuple[float, float]:
        across = left + (px - low_x) / span * (width - left - 12)
        return across, top + (1 - py / most) * (height - top - bottom)

    parts = []
    for step in range(5):
        value = most * step / 4
        _, y = place(low_x, value)
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - 12}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>'
        )
    marks = x if len(x) <= 12 else [low_x, (low_x + high_x) // 2, high_x]
    for mark in marks:
        across, _ = place(mark, 0)
        parts.append(
            f'<text x="{across:.1f}" y="{height - bottom + 16}" '
            f'text-anchor="middle">{mark:g}</text>'
        )
    legend = []
    for number, (name, ys) in enumerate(series.items()):
        points = " ".join("{:.1f},{:.1f}".format(*place(a, b)) for a, b in zip(x, ys, strict=True))
        parts.append(f'<polyline class="s{number % 4}" points="{points}"/>')
        legend.append(f'<span class="key s{number % 4}">{escape(name)}</span>')
    if reference:
        _, y = place(low_x, reference[1])
        parts.append(f'<line class="ref" x1="{left}" x2="{width - 12}" y1="{y:.1f}" y2="{y:.1f}"/>')
        legend.append(f'<span class="key ref">{escape(reference[0])}</span>')
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - 4}" '
        f'text-anchor="middle">{escape(x_label)}</text>'
    )
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(y_label)}">'
        f"{''.join(parts)}</svg>"
        f"<figcaption>{escape(y_label)} {''.join(legend)}</figcaption></figure>"
    )


def _short(value: float) -> str:
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"
