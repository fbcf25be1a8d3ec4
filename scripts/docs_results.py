"""Write into the documentation what was measured, from the files in ``benchmarks/results``.

A hook of MkDocs: in a page, the line ``[[networks diagnosed]]`` stands for the table of what a diagnosis
shows of several networks.
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
    tables = json.loads((RESULTS / "diagnose.json").read_text(encoding="utf-8"))["tables"]
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


WRITERS = {"[[networks diagnosed]]": _diagnosed}
