"""The numbers of a network before and after a fine-tuning, and the file that stores them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg._files import json_text, write_text
from napari_tileseg._progress import Noted, Progress, map_events
from napari_tileseg.workflows.scores import ClassNumbers, Numbers, known
from napari_tileseg.workflows.seam_check import SeamCheck
from napari_tileseg.workflows.time_budget import Efforts

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.training.scoring import Scoring

#: File of a run's folder with the numbers before and after.
NUMBERS = "numbers.json"


def score(
    scoring: Scoring, network: Network, enough: Callable[[], bool] = bool
) -> Generator[Progress, None, Numbers]:
    """Measure Dice and loss of a network on what is held out."""
    what = "Scoring on held-out strokes" if scoring.holds_out else "Scoring on the labels"
    yield Progress(what, 0.0)
    scored = yield from map_events(scoring.score(network, enough), lambda done: Progress(what, done))
    names = zip(network.spec.classes, scored.dice, strict=True)
    return Numbers(
        loss=known(scored.loss),
        classes=tuple(ClassNumbers(name=name, dice=known(dice)) for name, dice in names),
        seam_free=None,
        max_abs_difference=None,
        held_out=scoring.holds_out,
        strokes=scoring.strokes if scoring.holds_out else None,
    )


def compare_tiles(check: SeamCheck, network: Network, numbers: Numbers) -> Generator[Progress, None, Numbers]:
    """Return the numbers, and those of a network on the pairs of tiles."""
    found = yield from check.measure(network)
    if found is None:
        return numbers
    mismatch, disparity = found
    pairs = zip(numbers.classes, mismatch.classes, disparity.classes, strict=True)
    return replace(
        numbers,
        classes=tuple(
            replace(
                scored,
                tile_mismatch=between.tile_mismatch,
                train_eval_disparity=modes.train_eval_disparity,
            )
            for scored, between, modes in pairs
        ),
        seam_free=mismatch.seam_free,
        max_abs_difference=mismatch.max_abs_difference,
    )


def fewer(check: SeamCheck, pairs: int | None) -> SeamCheck:
    """Limit a check to a number of pairs."""
    if check.pairs is None or pairs is None or pairs >= len(check.pairs.pairs):
        return check
    return replace(check, pairs=replace(check.pairs, pairs=check.pairs.pairs[:pairs]) if pairs else None)


def announce_fewer(check: SeamCheck, pairs: int) -> Generator[Noted, None, SeamCheck]:
    """Limit the pairs as `fewer` does, and report where there are none."""
    if check.pairs is not None and not pairs:
        yield Noted("There is no time to compare tiles; a longer training, or Diagnose, does.")
    return fewer(check, pairs)


def read_numbers(folder: Path) -> tuple[Numbers, Efforts] | None:
    """Return the numbers before training and the efforts for them, if the run has measured them."""
    try:
        written = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
        return Numbers.from_dict(written["before"]), Efforts.from_dict(written["efforts"])
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, they are measured again
        return None


def write_numbers(folder: Path, efforts: Efforts, **numbers: Numbers) -> Iterator[Noted]:
    """Write numbers before and after training into the folder of a run, where that can be done."""
    written = {when: each.as_dict() for when, each in numbers.items()}
    text = json_text({**written, "efforts": efforts.as_dict()}, indent=2)
    try:
        write_text(folder / NUMBERS, text + "\n")
    except OSError as error:
        # The weights matter more: they may still be written elsewhere.
        yield Noted(f"The numbers of this run could not be saved in {folder}: {error}.")
