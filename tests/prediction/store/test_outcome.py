"""What a store says of its computation is what happened, not what was planned."""

import pytest
import torch

from napari_tileseg._progress import Noted
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.prediction import TileDone, open_prediction, predict_to_store
from napari_tileseg.prediction.store.outcome import Outcome
from napari_tileseg.settings import PredictSettings

CORE = PredictSettings(core=(8, 16, 16), device="cpu")
REDUCED = PredictSettings(core=(8, 16, 16), device="cpu", dtype="bfloat16")


def _said(path):
    return Outcome.recorded(open_prediction(path).provenance)


def _go_wrong_in_reduced_precision(monkeypatch):
    run = Program.run

    def wrong(self, image, schedule):
        return run(self, image, schedule) * (1.0 if image.dtype == torch.float32 else float("nan"))

    monkeypatch.setattr(Program, "run", wrong)


def _run_out_of_memory(monkeypatch, most):
    """Let memory run out for more planes than `most`."""
    run = Program.run_one

    def limited(self, number, values, place):
        if values[0].shape[2] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, number, values, place)

    monkeypatch.setattr(Program, "run_one", limited)


def test_all_goes_as_planned(tmp_path, make_network, volume):
    list(predict_to_store(volume, make_network(3), REDUCED, tmp_path / "out"))
    assert _said(tmp_path / "out") == Outcome(engine="regions", exact=True, dtype="bfloat16")


def test_a_number_format_that_went_wrong_is_not_the_one_that_is_said(
    tmp_path, make_network, volume, monkeypatch
):
    _go_wrong_in_reduced_precision(monkeypatch)
    events = list(predict_to_store(volume, make_network(3), REDUCED, tmp_path / "out"))
    said = _said(tmp_path / "out")
    assert (said.engine, said.dtype) == ("regions", "float32")
    (why,) = said.fallbacks
    assert "bfloat16 went wrong" in why
    assert Noted(why) in events
    asked = open_prediction(tmp_path / "out").provenance["settings"]["dtype"]
    assert asked == "bfloat16", "going on asks for the same"


def test_the_same_in_whole_tiles(tmp_path, make_network, volume, monkeypatch):
    network = make_network(3, norm="instance")
    forward = type(network.module).forward

    def wrong(self, image):
        return forward(self, image) * (1.0 if image.dtype == torch.float32 else float("nan"))

    monkeypatch.setattr(type(network.module), "forward", wrong)
    list(predict_to_store(volume, network, REDUCED, tmp_path / "out"))
    said = _said(tmp_path / "out")
    assert (said.engine, said.dtype) == ("plain", "float32")


def test_smaller_parts_are_said_where_memory_ran_out(tmp_path, make_network, volume, monkeypatch):
    network = make_network(3)
    list(predict_to_store(volume, network, CORE, tmp_path / "known"))  # regions are tried
    _run_out_of_memory(monkeypatch, 9)
    list(predict_to_store(volume, network, CORE, tmp_path / "out"))
    said = _said(tmp_path / "out")
    assert said.exact
    assert any("Memory of cpu ran out" in each for each in said.fallbacks)


@pytest.mark.parametrize("last", [Noted, TileDone])
def test_of_a_run_that_is_gone_on_with_what_can_be_said_of_both(
    tmp_path, make_network, volume, monkeypatch, last
):
    network = make_network(3)
    with monkeypatch.context() as patch:
        _go_wrong_in_reduced_precision(patch)
        run = predict_to_store(volume, network, REDUCED, tmp_path / "out")
        for event in run:
            if isinstance(event, last):
                break
        run.close()
    first = _said(tmp_path / "out")
    assert (first.dtype, len(first.fallbacks)) == ("float32", 1)
    list(predict_to_store(volume, network, REDUCED, tmp_path / "out"))
    said = _said(tmp_path / "out")
    assert said.dtype == "bfloat16", "some tiles are"
    assert said.fallbacks == (first.fallbacks if last is TileDone else ()), "no tile was computed that way"


def test_of_two_runs_the_less_is_said():
    good = Outcome(engine="regions", exact=True, dtype="float32")
    bad = Outcome(engine="plain", exact=False, dtype="float32", fallbacks=("a fault",))
    for one, other in ((good, bad), (bad, good), (bad, bad)):
        assert one.joined(other, plan=None) == bad
