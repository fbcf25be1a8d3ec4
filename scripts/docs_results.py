"""Write into the documentation what was measured, from the files in ``benchmarks/results``.

A hook of MkDocs: in a page, the line ``[[networks diagnosed]]`` stands for the table of what a diagnosis
shows of several networks, ``[[rounds of strokes]]`` for what a simulated annotator came to, and
``[[normalizations compared]]`` for networks trained from scratch with each normalization.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
_NAMES = {
    "nuclei_3d_instance": "InstanceNorm",
    "nuclei_3d_batch": "BatchNorm, from BatchRenorm",
    "batch": "BatchNorm, batch size 1",
    "nuclei_3d_batch_renorm": "BatchRenorm",
    "identity": "none",
    "unetr": "BatchRenorm (UNETR)",
}


def on_page_markdown(markdown: str, **_context: Any) -> str:
    """Replace these lines in a page."""
    for line, write in WRITERS.items():
        if line in markdown:
            markdown = markdown.replace(line, "\n".join(write()))
    return markdown


def _diagnosed() -> Iterator[str]:
    yield (
        "| image | normalization | largest difference | class | mismatch | of masks | disparity | of masks | "
        "Dice (eval) | Dice (train) |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    tables = _read("diagnose")["tables"]
    for image in sorted(tables, reverse=True):
        for name, label in _NAMES.items():
            found = tables[image][name]
            largest = "no" if found["seam_free"] else f"{found['max_abs_difference']:.2f}"
            for each in found["classes"]:
                yield f"| {image} | {label} | {largest} | {each['name']} | {_numbers(each)} |"


def _numbers(found: dict[str, Any]) -> str:
    names = ("tile_mismatch", "train_eval_disparity")
    four = [found[each + end] for each in names for end in ("", "_thresholded")]
    return " | ".join(
        [*(f"{value:.4f}" for value in four), *(f"{found[f'dice_{mode}']:.2f}" for mode in ("eval", "train"))]
    )


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _rounds() -> Iterator[str]:
    yield (
        "| round | strokes so far | fine-tuned | tiles of it differ by | from scratch | random forest |\n"
        "|---|---|---|---|---|---|"
    )
    found = _read("annotator")
    for each in found["rounds"]:
        scores = [f"{each[name]['mean_dice']:.3f}" if name in each else "" for name in _LEARNERS]
        strokes, largest = found["strokes"] * each["round"], each["tuned"]["max_abs_difference"]
        differ = "no" if each["tuned"]["mismatch"] == "no" else f"{largest:.2f}"
        yield f"| {each['round']} | {strokes} | {scores[0]} | {differ} | {scores[1]} | {scores[2]} |"


def _compared() -> Iterator[str]:
    yield (
        "| normalization | seeds | foreground | boundary | in train mode | disparity | tile mismatch |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name, each in _read("from_scratch")["summary"].items():
        pairs = zip(each["dice_eval"], each["dice_eval_range"], strict=True)
        usual = [f"{value:.3f} ± {spread / 2:.3f}" for value, spread in pairs]
        train = " / ".join(f"{value:.3f}" for value in each["dice_train"])
        mismatch = "no" if each["mismatch"] == "no" else f"{each['tile_mismatch']:.4f}"
        row = (name, each["seeds"], *usual, train, f"{each['disparity']:.4f}", mismatch)
        yield f"| {' | '.join(map(str, row))} |"


_LEARNERS = ("tuned", "scratch", "forest")
WRITERS = {
    "[[networks diagnosed]]": _diagnosed,
    "[[rounds of strokes]]": _rounds,
    "[[normalizations compared]]": _compared,
}
