"""Write what was measured into the documentation, from the files in ``benchmarks/results``.

A hook of MkDocs: words in double brackets, such as ``[[benchmark]]``, stand for what `WRITERS` makes
of a file, or for a sentence that says that there is none yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
_MISSING = "It has not been measured yet."
_NORMS = {
    "nuclei_3d_instance": "InstanceNorm",
    "nuclei_3d_batch": "BatchNorm, from BatchRenorm",
    "batch": "BatchNorm, batch size 1",
    "nuclei_3d_batch_renorm": "BatchRenorm",
    "identity": "none",
    "unetr": "BatchRenorm (UNETR)",
}
_LEARNERS = ("tuned", "scratch", "forest")


def on_page_markdown(markdown: str, **_context: Any) -> str:
    """Replace these words in a page."""
    for words, (file, write) in WRITERS.items():
        if words in markdown:
            path = RESULTS / file
            lines = write(json.loads(path.read_text())) if path.exists() else [_MISSING]
            markdown = markdown.replace(words, "\n".join(lines))
    return markdown


def _diagnosed(report: dict[str, Any]) -> Iterator[str]:
    yield (
        "| image | normalization | largest difference | class | mismatch | of masks | disparity | of masks | "
        "Dice (eval) | Dice (train) |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    tables = report["tables"]
    for image in sorted(tables, reverse=True):
        for name, label in _NORMS.items():
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


def _rounds(report: dict[str, Any]) -> Iterator[str]:
    yield (
        "| round | strokes so far | fine-tuned | tiles of it differ by | from scratch | random forest |\n"
        "|---|---|---|---|---|---|"
    )
    for each in report["rounds"]:
        scores = [f"{each[name]['mean_dice']:.3f}" if name in each else "" for name in _LEARNERS]
        strokes, largest = report["strokes"] * each["round"], each["tuned"]["max_abs_difference"]
        differ = "no" if each["tuned"]["mismatch"] == "no" else f"{largest:.2f}"
        yield f"| {each['round']} | {strokes} | {scores[0]} | {differ} | {scores[1]} | {scores[2]} |"


def _compared(report: dict[str, Any]) -> Iterator[str]:
    yield (
        "| normalization | seeds | foreground | boundary | in train mode | in tiles of a patch | disparity | "
        "tile mismatch |\n|---|---|---|---|---|---|---|---|"
    )
    for name, each in report["summary"].items():
        pairs = zip(each["dice_eval"], each["dice_eval_range"], strict=True)
        usual = [f"{value:.3f} ± {spread / 2:.3f}" for value, spread in pairs]
        train, tiles = (
            " / ".join(f"{value:.3f}" for value in each[key]) for key in ("dice_train", "dice_tiles")
        )
        mismatch = "no" if each["mismatch"] == "no" else f"{each['tile_mismatch']:.4f}"
        row = (name, each["seeds"], *usual, train, tiles, f"{each['disparity']:.4f}", mismatch)
        yield f"| {' | '.join(map(str, row))} |"


def _moved(report: dict[str, Any]) -> Iterator[str]:
    yield "| network | | foreground | boundary | largest difference of tiles |\n|---|---|---|---|---|"
    for key, each in report.items():
        if not key.startswith("transfer "):
            continue
        name = key.split()[1]
        for when in ("before", "after"):
            dice = " | ".join(f"{value:.3f}" for value in each[when]["dice"])
            alike = each[when]["mismatch"] == "no"
            differ = "no" if alike else f"{each[when]['max_abs_difference']:.2f}"
            yield f"| {name if when == 'before' else ''} | {when} | {dice} | {differ} |"


def _tables(report: dict[str, Any]) -> Iterator[str]:
    machine = report["machine"]
    yield f"Measured with {machine['threads']} threads on {machine['processor']}, torch {machine['torch']}."
    for network, rows in groupby(report["rows"], key=lambda row: row["network"]):
        listed = list(rows)
        yield f"\n### {_NETWORKS.get(network, network)}, {_size(listed[0]['size'])}\n"
        yield (
            "| method | format | core | seconds | of the whole pass | of MONAI 0.5 | FLOPs of the whole pass "
            "| memory, MB | largest difference |\n|---|---|---|---|---|---|---|---|---|"
        )
        for row in listed:
            cells = [row["method"], row["dtype"], _size(row["core"]), *(_number(row[key]) for key in _KEYS)]
            memory, difference = row["peak_memory_bytes"] / 1e6, row["max_abs_difference"]
            yield f"| {' | '.join(cells)} | {memory:.0f} | {_number(difference, '.1e')} |"
    for each in report["skipped"]:
        network = _NETWORKS.get(each["network"], each["network"])
        yield f"\nLeft out: {network}: {each['method']} ({each['reason']})."


_NETWORKS = {
    "unet_3d": "The U-Net of the paper, 3D",
    "unet_3d_four_levels": "A U-Net of four levels, 3D",
    "unet_2d": "A U-Net of four levels, 2D",
    "unet_3d_instance": "The U-Net of the paper with InstanceNorm, 3D",
    "identity": "A network that computes nothing: the cost of going through an image",
}
_KEYS = ("seconds", "ratio_to_whole", "ratio_to_monai_gaussian", "flops_ratio")


def _size(shape: list[int]) -> str:
    return f"{shape[0]}^{len(shape)}" if len(set(shape)) == 1 else " x ".join(map(str, shape))


def _number(value: float | None, form: str = ".3g") -> str:
    return "" if value is None else format(value, form)


def _billion(report: dict[str, Any]) -> Iterator[str]:
    memory = report["peak_memory_bytes_of_parts"][1:-1]
    machine = "{threads} threads of {processor}".format(**report["machine"])
    features = ", ".join(map(str, report["network"]["features"]))
    yield (
        f"A volume of {_size(report['size'])} = {report['voxels']:,} voxels that is made where it is read, "
        f"and a small U-Net ({features} features), on {machine}:\n"
    )
    yield "| what | figure |\n|---|---|"
    yield f"| time of the tiles | {report['tile_seconds']:.0f} s |"
    yield f"| time in all, with the pyramid of levels | {report['seconds']:.0f} s |"
    yield f"| voxels a second | {report['voxels_per_second']:,.0f} |"
    yield f"| bytes read, of the image's | {report['bytes_read_over_image']:.3f} |"
    yield (
        f"| anonymous memory, largest in each tenth of the run but the first | {min(memory) / 1e6:.0f} to "
        f"{max(memory) / 1e6:.0f} MB |"
    )
    yield (
        f"| largest difference to direct predictions, {len(report['boxes'])} boxes of "
        f"{report['box_edge']}^3 | {report['max_abs_difference']:.1e} |"
    )


def write_surroundings(report: dict[str, Any], *, images: tuple[str, ...], shipped: bool) -> Iterator[str]:
    """Dice, mean over images, and invented voxels, their sum, of networks that come along, or of others.

    A cell is empty where not all images were measured.
    """
    rows = [
        row for row in report["rows"] if row["image"] in images and (row["network"] in _SHIPPED) is shipped
    ]
    if not rows:
        yield _MISSING
        return
    times = sorted({row["times"] for row in rows})
    heads = ["alone" if n == 1 else f"in {n} times the area" for n in times]
    yield f"| network | statistics | {' | '.join(heads)} |\n|---|---|{'---|' * len(times)}"
    former = ""
    for network, way in dict.fromkeys((row["network"], row["way"]) for row in rows):
        alike = [row for row in rows if (row["network"], row["way"]) == (network, way)]
        measured = ([row for row in alike if row["times"] == number] for number in times)
        cells = [_surrounded(each) if len(each) == len(images) else "" for each in measured]
        yield f"| {'' if network == former else network} | {way} | {' | '.join(cells)} |"
        former = network


_SHIPPED = ("InstanceNorm", "BatchRenorm")


def _surrounded(rows: list[dict[str, Any]]) -> str:
    dice = sum(row["dice"] for row in rows) / len(rows)
    return f"{dice:.3f}; {sum(row['invented'] for row in rows):,}"


def _gpu(report: dict[str, Any]) -> Iterator[str]:
    millions = report["voxels_per_second"] / 1e6
    yield (
        f"On {report['device']}, in {report['dtype']}: {millions:.0f} million voxels a second of "
        f"{_size(report['size'])}, {report['share_of_attainable']:.0%} of what it attains."
    )


WRITERS = {
    "[[benchmark]]": ("bench.json", _tables),
    "[[billion]]": ("billion.json", _billion),
    "[[empty surroundings of embryos]]": (
        "empty_surroundings.json",
        partial(write_surroundings, images=("Emb04_t401", "Emb08_t401"), shipped=True),
    ),
    "[[empty surroundings of an ovule]]": (
        "empty_surroundings.json",
        partial(write_surroundings, images=("ovule",), shipped=True),
    ),
    "[[empty surroundings, other networks]]": (
        "empty_surroundings.json",
        partial(write_surroundings, images=("Emb08_t401",), shipped=False),
    ),
    "[[gpu]]": ("bench_gpu.json", _gpu),
    "[[networks diagnosed]]": ("diagnose.json", _diagnosed),
    "[[normalizations compared]]": ("from_scratch.json", _compared),
    "[[networks moved]]": ("from_scratch.json", _moved),
    "[[rounds of strokes]]": ("annotator.json", _rounds),
}
