"""A table of networks of other packages, a row each: what the benchmarks that try them have in common."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from measuring import about_machine
from third_party_subjects import Subject
from torch import nn

#: What is found of one network, by name of its column.
Row = dict[str, Any]
#: Columns that stand for all others: why there are none.
_INSTEAD = ("left out", "refused", "bare")


def randomize(module: nn.Module, gain: float = 1.0) -> None:
    """Give a network weights whose mean is a third of their spread, and statistics of no default."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if not value.is_floating_point() or not value.numel():
                continue
            noise = torch.randn(value.shape, generator=random)
            if "running_var" in name:
                value.copy_(0.5 + noise.abs())
            elif value.ndim < 2:
                value.copy_(0.3 + 0.3 * noise if "bias" not in name and "mean" not in name else 0.1 * noise)
            else:
                taps = max(1, value[0].numel())
                value.copy_((noise + 1 / 3) * min(taps**-0.5, 3 / taps) * gain)


def built(subject: Subject) -> nn.Module:
    """Return a network with random weights, in eval mode.

    Raises
    ------
    ImportError, RuntimeError
        If its package is absent, or not whole.
    """
    torch.manual_seed(0)
    module = subject.build().eval()
    randomize(module)
    return module


def left_out(error: Exception) -> Row:
    """Return the row of a network that cannot be built here."""
    return {"left out": f"{type(error).__name__}: {error}"[:200]}


def make_table(
    description: str,
    subjects: Iterable[Subject],
    tried: Callable[[Subject], Row | None],
    line: Callable[[Row], str],
    result: Path,
    totals: Callable[[list[Row]], dict[str, int]] | None = None,
) -> None:
    """Try networks, print the table as it grows, and write it as JSON.

    Parameters
    ----------
    description : str
        What ``--help`` says.
    subjects : iterable of Subject
        The networks; ``--only`` chooses among them by words in their names.
    tried : callable
        Gives what is found of one, beside its name; None if it does not belong into the table.
    line : callable
        Gives the words of a row that has all columns, beside its name.
    result : Path
        Where the table is written unless ``--out`` says otherwise.
    totals : callable, optional
        Counts over all rows, printed at the end.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", nargs="*", default=[], help="words, one of which a name has to hold")
    parser.add_argument("--out", type=Path, default=result)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    rows: list[Row] = []
    counted: dict[str, int] = {}
    for subject in subjects:
        if asked.only and not any(word in subject.name for word in asked.only):
            continue
        found = tried(subject)
        if found is None:
            continue
        rows.append({"name": subject.name} | found)
        instead = next((f"{key}: {found[key]}" for key in _INSTEAD if key in found), None)
        print(f"{subject.name:40s} {line(found) if instead is None else instead}", flush=True)
        report: dict[str, Any] = {"machine": about_machine()}
        if totals is not None:
            counted = totals(rows)
            report["totals"] = counted
        asked.out.write_text(json.dumps(report | {"networks": rows}, indent=1) + "\n")
    print(*(f"{name}: {count}" for name, count in counted.items()), sep="\n")
