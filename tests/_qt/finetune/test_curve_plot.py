"""The plot of a training follows what the training tells."""

import pytest

from napari_tileseg._qt.finetune.curve_plot import CurvePlot
from napari_tileseg.training.events import StepDone, Validated

pytestmark = pytest.mark.usefixtures("qapp")


def step(number: int, total: int, phase: str = "full") -> StepDone:
    return StepDone(
        step=number, total=total, loss=1 / number, phase=phase, r_max=3, d_max=5, seconds=0, seconds_left=0
    )


@pytest.mark.parametrize(
    ("totals", "end"), [([], 1), ([0, 0], 2), ([0, 100, 100], 100), ([100, 120, 50], 50)]
)
def test_steps_reach_from_the_first_to_the_last_planned(totals, end) -> None:
    plot = CurvePlot()
    plot.show_curve([step(number + 1, total) for number, total in enumerate(totals)])
    low, high = plot.getPlotItem().viewRange()[0]
    assert (low, high) == pytest.approx((0, end), abs=0.02 * end)


def test_phases_and_scores_are_shown() -> None:
    plot = CurvePlot()
    score = Validated(step=2, loss=1.0, dice=(0.5, 0.7), score=0.6, best=True)
    plot.show_curve([step(1, 3, "batch"), step(2, 3, "ramp"), score, step(3, 3)])
    assert [band.getRegion() for band in plot._bands] == [(0, 1), (1, 2), (2, 3)]
    assert [each.tolist() for each in plot._scores.getData()] == [[2], [0.6]]
    plot.show_curve([])
    assert plot._bands == []
