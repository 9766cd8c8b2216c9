"""Draws the ratios to the floor as SVG: a row for each workload, a column for each store.

It has a ground of its own and follows the reader's choice of light or dark. All that colour or
length says is also said in figures, and in the description for those who hear it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from benchmarks.modes import MODES
from benchmarks.results import shown

Row = Mapping[str, Any]
"""Of the JSON: what was measured of a workload in one store."""

LABELS, COLUMN, BAR, FIGURE = 310, 164, 104, 148
TOP, HEIGHT, FOOT = 92, 24, 40
MARGIN = 20
MOST = 5.0
"""Times the floor at which a bar ends; longer ones are cut, and their figure says how long."""

TIMES = "\N{MULTIPLICATION SIGN}"

LIGHT = {
    "ground": "#ffffff", "text": "#1f2328", "quiet": "#59636e", "line": "#d8dee4",
    "bar": "#6ca3e6", "spread": "#0b3d78", "floor": "#bc4c00",
}  # fmt: skip
DARK = {
    "ground": "#0d1117", "text": "#f0f6fc", "quiet": "#9aa4af", "line": "#30363d",
    "bar": "#2c6bb0", "spread": "#b6d7ff", "floor": "#ffa657",
}  # fmt: skip
SHAPES = """text { font: 12.5px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.figure { text-anchor: end; font-variant-numeric: tabular-nums; }
.title { font-size: 16px; font-weight: 600; } .head { font-weight: 600; }
.quiet { font-size: 12px; } .cut { stroke-width: 3; } .spread { stroke-width: 1.5; }
.floor { stroke-width: 1.5; stroke-dasharray: 3 2; }"""
COLOURS = """.ground {{ fill: {ground}; }} text {{ fill: {text}; }}
.quiet {{ fill: {quiet}; }} .line {{ stroke: {line}; }} .cut {{ stroke: {ground}; }}
.bar {{ fill: {bar}; }} .spread {{ stroke: {spread}; }} .floor {{ stroke: {floor}; }}"""


def drawn(rows: Sequence[Row]) -> str:
    """The whole file."""
    ratios = {(row["title"], row["store"]): row["ratio"] for row in rows if row["ratio"]}
    titles = list(dict.fromkeys(title for title, _ in ratios))
    stores = [name for name in MODES if any(store == name for _, store in ratios)]
    width = 2 * MARGIN + LABELS + COLUMN * len(stores)
    height = TOP + HEIGHT * len(titles) + FOOT
    parts = [
        *_opened(width, height, _told(ratios)),
        *_heads(stores, height),
        *_labels(titles, width),
        *(
            line
            for (title, store), ratio in ratios.items()
            for line in _cell(titles.index(title), stores.index(store), ratio)
        ),
        *_explained(height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _opened(width: int, height: int, told: str) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="title told">'
    )
    yield '<title id="title">What a call takes, as a multiple of hand-written SQL</title>'
    yield f'<desc id="told">{escape(told)}</desc>'
    dark = f"@media (prefers-color-scheme: dark) {{ {COLOURS.format(**DARK)} }}"
    yield f"<style>{SHAPES}\n{COLOURS.format(**LIGHT)}\n{dark}</style>"
    yield f'<rect class="ground" width="{width}" height="{height}" rx="8"/>'
    yield _text(MARGIN, 30, "What a call takes, as a multiple of hand-written SQL", "title")
    under = "JSON file: of an fsynced replace, or a first read, of as many bytes; then in memory."
    yield _text(MARGIN, 50, under, "quiet")


def _heads(stores: Sequence[str], height: int) -> Iterator[str]:
    """The name of each column, and the line where it takes as long as the floor."""
    for number, store in enumerate(stores):
        left, floor = _left(number), _left(number) + _length(1)
        yield _text(left, TOP - 14, MODES[store].title, "head")
        yield (
            f'<line class="floor" x1="{floor:.1f}" x2="{floor:.1f}" y1="{TOP - 6}" '
            f'y2="{height - FOOT + 4}"/>'
        )


def _labels(titles: Sequence[str], width: int) -> Iterator[str]:
    for number, title in enumerate(titles):
        y = TOP + HEIGHT * number
        yield f'<line class="line" x1="{MARGIN}" x2="{width - MARGIN}" y1="{y}" y2="{y}"/>'
        yield _text(MARGIN, y + 16, title)


def _cell(row: int, column: int, ratio: Mapping[str, float]) -> Iterator[str]:
    """A bar with the spread of the rounds over it, and the figure."""
    left, y = _left(column), TOP + HEIGHT * row
    end, least, most = (left + _length(ratio[name]) for name in ("median", "least", "most"))
    yield f'<rect class="bar" x="{left}" y="{y + 6}" width="{end - left:.1f}" height="12" rx="2"/>'
    if ratio["median"] > MOST:
        yield f'<line class="cut" x1="{end - 14}" x2="{end - 8}" y1="{y + 20}" y2="{y + 4}"/>'
    else:
        yield f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}" y1="{y + 12}" y2="{y + 12}"/>'
    yield _text(left + FIGURE, y + 16, f"{shown(ratio['median'])}{TIMES}", "figure")


def _explained(height: int) -> Iterator[str]:
    y = height - 14
    yield f'<line class="floor" x1="{MARGIN}" x2="{MARGIN}" y1="{y - 10}" y2="{y + 2}"/>'
    yield _text(MARGIN + 8, y, "as long as by hand", "quiet")
    x = MARGIN + 150
    yield f'<line class="spread" x1="{x}" x2="{x + 24}" y1="{y - 4}" y2="{y - 4}"/>'
    yield _text(
        x + 30, y, "least and most of the rounds; bars are medians, shorter is better", "quiet"
    )


def _told(ratios: Mapping[tuple[str, str], Mapping[str, float]]) -> str:
    cells = (
        f"{title}, {MODES[store].title}: {shown(ratio['median'])} times"
        for (title, store), ratio in ratios.items()
    )
    return "; ".join(cells)


def _left(column: int) -> int:
    return MARGIN + LABELS + COLUMN * column


def _length(ratio: float) -> float:
    return BAR * min(ratio, MOST) / MOST


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{named}>{escape(text)}</text>'
