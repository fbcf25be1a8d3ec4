"""Draw the floors of the package into ``docs/images/architecture.svg``, from the contracts of its imports.

Order and neighbours of the floors, and what they may not import, are read from ``pyproject.toml``, where
``make floors`` checks them. Only what a floor holds is said here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "images" / "architecture.svg"
PACKAGE = "napari_tileseg"
#: What each floor holds: as much as fits on one line of its box.
HOLDS = {
    "_qt": "dock widgets: a wing for each panel",
    "_napari": "images, results and strokes as layers",
    "cli": "the verbs of the command tileseg",
    "session": "one viewer's state: a wing for each panel, and its background work",
    "workflows": "what shell and viewer both drive: fine-tuning, training from scratch",
    "diagnosis": "where tiles disagree, how much, and why",
    "training": "how a network learns from labels",
    "prediction": "an image, tile by tile: plan, order, input, store",
    "engine": "a network on tiles, computed exactly as on the whole image",
    "samples": "synthetic images, and the networks that come along",
    "images": "files as lazy arrays",
    "labels": "what labels mean; Dice",
    "nets": "networks, opened and measured",
    "graphs": "a network as its graph of operations",
    "tiling": "boxes, grids, padding",
    "settings": "every setting, once",
}
WIDTH, MARGIN, GAP = 760, 16, 10
#: Heights of a package's box and of a module's, and the space between rows.
TALL, LOW, SPACE = 46, 26, 6
TOP, BAR = 58, 7
#: A class of the style sheet for each contract of many floors.
BARS = ("first", "second")
STYLE = """
.page { fill: #fbfcfd } .box { fill: #eef2f5; stroke: #c3ccd4 } .name { fill: #16232e; font-weight: 600 }
.text { fill: #3d4c59 } .rule { fill: #7a3f00; font-style: italic }
.first { fill: #1f8a84 } .second { fill: #d9871a }
@media (prefers-color-scheme: dark) {
.page { fill: #171c21 } .box { fill: #232b33; stroke: #44515d } .name { fill: #eef3f7 }
.text { fill: #b9c5cf } .rule { fill: #f0b775 }
.first { fill: #35b5ad } .second { fill: #f2a93b }
}
"""


@dataclass(frozen=True)
class Contracts:
    """The floors, row by row, and which of them may not import what.

    Parameters
    ----------
    rows : sequence of (names, bool)
        From top to bottom; and whether the floors of a row may not import one another.
    rules : mapping
        Name of a contract by the only floor that it binds.
    bars : mapping
        Floors by the name of the contract that binds all of them, and what it forbids.
    """

    rows: Sequence[tuple[list[str], bool]]
    rules: dict[str, str]
    bars: dict[str, set[str]]


def main() -> None:
    """Draw."""
    TARGET.write_text(draw(read_contracts(ROOT / "pyproject.toml")), encoding="utf-8")


def read_contracts(path: Path) -> Contracts:
    """Read what import-linter checks out of a ``pyproject.toml``."""
    contracts = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    # Others say what may be imported between the rooms of one package.
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == [PACKAGE])
    bans = [each for each in contracts if each["type"] == "forbidden"]
    forbidden = [(each["name"], _floors(each)) for each in bans]
    return Contracts(
        rows=[(row.replace("|", ":").replace(" ", "").split(":"), "|" in row) for row in layers],
        rules={floors[0]: name for name, floors in forbidden if len(floors) == 1},
        bars={
            f"{name} (no {', '.join(each['forbidden_modules'])})": set(floors)
            for each, (name, floors) in zip(bans, forbidden, strict=True)
            if len(floors) > 1
        },
    )


def _floors(contract: dict[str, Any]) -> list[str]:
    return [name.removeprefix(f"{PACKAGE}.") for name in contract["source_modules"]]


def draw(contracts: Contracts) -> str:
    """Give the picture as the text of an SVG file."""
    top, parts = TOP, []
    for names, apart in contracts.rows:
        height = TALL if any(map(is_package, names)) else LOW
        height += 14 * any(name in contracts.rules for name in names)
        for name, left, width in _places(names, apart):
            parts += _box(name, (left, top, width, height), contracts)
        top += height + SPACE
    parts += _legend(contracts, top + 20)
    height = top + 20 * len(contracts.bars) + 20
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="t d" font-family="sans-serif" font-size="12">',
        '<title id="t">The floors of napari-tileseg</title>',
        f'<desc id="d">From top to bottom: {_described(contracts)}. Each may import those below it.</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
        _text(MARGIN, 26, "text", "A floor may import those below it, and never one above."),
        _text(MARGIN, 43, "text", "Floors side by side with a gap between them do not import one another."),
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def is_package(name: str) -> bool:
    """Tell a package, which is a floor with rooms, from a single module."""
    return (ROOT / "src" / PACKAGE / name).is_dir()


def _places(names: Sequence[str], apart: bool) -> Iterator[tuple[str, float, float]]:
    """Left side and width of each box in a row."""
    gap = GAP if apart else 0
    width = (WIDTH - 2 * MARGIN - gap * (len(names) - 1)) / len(names)
    for number, name in enumerate(names):
        yield name, MARGIN + number * (width + gap), width


def _box(name: str, place: tuple[float, float, float, float], contracts: Contracts) -> Iterator[str]:
    left, top, width, height = place
    yield (
        f'<rect class="box" x="{left:.1f}" y="{top + 0.5}" width="{width:.1f}" height="{height - 1}" rx="3"/>'
    )
    for number, floors in enumerate(contracts.bars.values()):
        if name in floors:
            x, inner = left + 4 + number * (BAR + 2), height - 8
            yield f'<rect class="{BARS[number]}" x="{x:.1f}" y="{top + 4}" width="{BAR}" height="{inner}"/>'
    indent = left + 10 + len(contracts.bars) * (BAR + 2)
    yield _text(indent, top + 18, "name", name)
    if is_package(name):
        yield _text(indent, top + 35, "text", HOLDS[name])
    if name in contracts.rules:
        yield _text(indent, top + 50, "rule", contracts.rules[name])


def _legend(contracts: Contracts, top: float) -> Iterator[str]:
    for number, name in enumerate(contracts.bars):
        y = top + 20 * number
        yield f'<rect class="{BARS[number]}" x="{MARGIN + 4}" y="{y - 11}" width="{BAR}" height="14"/>'
        yield _text(MARGIN + 22, y, "text", name)


def _described(contracts: Contracts) -> str:
    return "; ".join(" and ".join(names) for names, _ in contracts.rows)


def _text(x: float, y: float, kind: str, words: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}">{escape(words)}</text>'


if __name__ == "__main__":
    main()
