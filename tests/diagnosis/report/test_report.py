"""Figures show what was measured, and a page stands by itself."""

import json
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis.diagnosis import diagnose
from napari_tileseg.diagnosis.heatmap import mismatch_heatmap
from napari_tileseg.diagnosis.report import figures, pair_view
from napari_tileseg.diagnosis.report.page import Section, Table, Verdict, html_page, png, write_page
from napari_tileseg.diagnosis.report.sections import collect_pictures, diagnosis_sections, number, verdict_of
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import StoreError
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import DiagnoseSettings, PredictSettings

SETTINGS = PredictSettings(device="cpu", core=(32, 32), statistics="tile")
SHIFTED = DiagnoseSettings(shift=16, sample=4)


@pytest.fixture
def diagnosed(make_network, picture):
    """Give plan and diagnosis for a normalization."""

    def run(norm, settings=SETTINGS, how=SHIFTED):
        network = make_network(norm)
        found = drain(diagnose(picture, network, settings, how))
        return drain(plan_prediction(picture, network, settings, route=WHOLE_TILES)), found

    return run


def test_the_profile_goes_through_the_worst_voxel_of_both_predictions(diagnosed):
    plan, diagnosis = diagnosed("instance")
    worst = diagnosis.mismatch.worst[0]
    place = pair_view.view_pair(plan, diagnosis.mismatch)
    where, first, second = place.profile
    at = int(np.flatnonzero(where == worst.point[place.plane[place.along]])[0])
    assert abs(first[at] - second[at]) == pytest.approx(worst.difference, abs=1e-6)
    assert place.valid[0] <= where[at] < place.valid[1]
    assert place.class_name == worst.class_name
    assert np.isnan(first).any() or np.isnan(second).any()


def test_without_a_worst_place_some_pair_is_shown_and_agrees(diagnosed):
    plan, diagnosis = diagnosed("batch")
    assert diagnosis.mismatch.worst == ()
    where, first, second = pair_view.view_pair(plan, diagnosis.mismatch).profile
    begin, end = pair_view.view_pair(plan, diagnosis.mismatch).valid
    inside = (where >= begin) & (where < end)
    np.testing.assert_allclose(first[inside], second[inside], atol=1e-5)


def test_the_plane_of_the_heatmap_is_that_of_the_whole_heatmap(diagnosed, picture):
    plan, diagnosis = diagnosed("instance")
    point = diagnosis.mismatch.worst[0].point
    steps = []
    plane = drain(pair_view.map_around(plan, diagnosis.mismatch, point), steps.append)
    assert steps[-1].done == steps[-1].total
    halo, stride = plan.grid.aligned_halo, plan.grid.stride
    core = tuple(
        (tile - sum(sides)) // step * step
        for tile, sides, step in zip(diagnosis.mismatch.tile, halo, stride, strict=True)
    )
    whole = mismatch_heatmap(
        picture, plan.network, PredictSettings(device="cpu", core=core, statistics="tile")
    ).compute()
    box = tuple(slice(a, a + n) for a, n in zip(plane.origin, plane.difference.shape, strict=True))
    np.testing.assert_allclose(plane.difference, whole.max(axis=0)[box], atol=1e-6)


def test_sections_hold_cause_numbers_and_figures_with_words(diagnosed):
    plan, diagnosis = diagnosed("instance")
    pictures = drain(collect_pictures(plan, diagnosis))
    sections = {section.title: section for section in diagnosis_sections(diagnosis, pictures)}
    assert sections["Cause and cure"].text == (diagnosis.audit.cause, diagnosis.audit.cure)
    assert [row[0] for row in sections["Classes"].table.rows] == ["foreground", "boundary"]
    assert sections["Classes"].table.rows[0][1] == number(diagnosis.classes[0].mismatch.tile_mismatch)
    assert sections["Heatmap"].figure is not None
    assert all(section.alt for section in sections.values() if section.figure is not None)
    assert not verdict_of(diagnosis).good


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_an_image_of_one_tile_has_no_heatmap_and_the_report_says_why(diagnosed, norm):
    plan, diagnosis = diagnosed(norm, PredictSettings(device="cpu", statistics="tile"), DiagnoseSettings())
    pictures = drain(collect_pictures(plan, diagnosis))
    sections = {section.title: section for section in diagnosis_sections(diagnosis, pictures)}
    assert sections["Heatmap"].figure is None
    assert "one tile holds the whole image" in sections["Heatmap"].text[0]
    assert "Worst place" not in sections
    assert verdict_of(diagnosis).good
    assert "one tile holds the whole image" in verdict_of(diagnosis).words


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_heatmap_in_a_report_is_brightest_at_the_worst_place(diagnosed, norm):
    plan, diagnosis = diagnosed(norm, SETTINGS, DiagnoseSettings(everything=True))
    pictures = drain(collect_pictures(plan, diagnosis))
    assert pictures.plane.difference.max() == pytest.approx(diagnosis.max_abs_difference, abs=1e-5)
    bright = np.unravel_index(pictures.plane.difference.argmax(), pictures.plane.difference.shape)
    if norm == "instance":
        at = tuple(a + b for a, b in zip(pictures.plane.origin, bright, strict=True))
        assert at == diagnosis.mismatch.worst[0].point


def test_series_differ_without_colour():
    drawn = figures.bars_figure(("a", "b"), [("one", (0.1, None)), ("two", (0.3, 0.2))], "title", "label")
    bars = drawn.axes[0].patches
    assert len({bar.get_hatch() for bar in bars}) == 2
    lines = figures.curves_figure((1, 2), [("a", (0.0, 1.0)), ("b", (1.0, 0.0))], "t", "l").axes[0].lines
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 2


def test_the_same_figure_gives_the_same_bytes_and_needs_no_pyplot():
    drawn = [figures.bars_figure(("a",), [("one", (0.1,))], "t", "l") for _ in range(2)]
    assert png(drawn[0]) == png(drawn[1])
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_a_page_escapes_what_it_is_given_and_is_well_formed():
    table = Table(headings=("a", "b"), rows=[("<b>", "1 & 2")])
    sections = [Section(title="x < y", text=("<script>",), table=table)]
    page = html_page("<title>", Verdict(words="a > b", good=False), sections)
    assert "<script>" not in page
    assert "1 &amp; 2" in page
    _WellFormed().check(page)


class _WellFormed(HTMLParser):
    """Follows tags that have an end."""

    def check(self, page):
        self.open = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        del attrs
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_replaced_whole_and_leaves_nothing_else(tmp_path):
    for value in (1, 2):
        write_page(tmp_path / "new" / "report", "t", None, [], {"value": value})
    folder = tmp_path / "new" / "report"
    assert json.loads((folder / "report.json").read_text()) == {"value": 2}
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.json"}


def test_a_report_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Choose another folder"):
        write_page(tmp_path / "file" / "report", "t", None, [], {})
