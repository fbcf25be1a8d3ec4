"""Statistics that are left to the program: of a region where that can be, otherwise each tile's, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import torch
import zarr
from torch import Tensor, nn

from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.engine.choice import route_of
from napari_tileseg.errors import ImageError, NoContentError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network, open_module
from napari_tileseg.prediction import lay_plan, make_order, measure_plan, predict, predict_to_store
from napari_tileseg.prediction import write_prediction as write
from napari_tileseg.prediction.events import Noted, Saved
from napari_tileseg.prediction.plan.plan import find_way
from napari_tileseg.prediction.store.provenance import settled_by
from napari_tileseg.settings import PredictSettings

from .small_content import SHAPE, picture

HOW: dict[str, Any] = {"core": (32, 64), "dtype": "float64", "device": "cpu"}
#: What is said where each tile has statistics of its own.
OWN = "Each tile has statistics of its own, because "


VOXELS = picture()
IMAGE = Image(VOXELS, "yx", name="cells")
NOISE = Image(np.random.default_rng(0).normal(100, 3, SHAPE).astype(np.float32), "yx", name="noise")
SERIES = Image(np.stack([VOXELS, VOXELS + 40, VOXELS * 2]), "tyx", name="series")


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network(ndim=2, norm="instance")


def settings(**how: Any) -> PredictSettings:
    return PredictSettings(**{**HOW, **how})


def laid(network: Network, image: Image = IMAGE, **how: Any) -> Any:
    return lay_plan(image, network, settings(**how), find_way(network, settings(**how)))


def measured(network: Network, image: Image = IMAGE, **how: Any) -> Any:
    return drain(measure_plan(laid(network, image, **how)))


def run(network: Network, path: Path, image: Image = IMAGE, **how: Any) -> list[Any]:
    return list(predict_to_store(image, network, settings(**how), path))


def stored(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_group(path, mode="r")["0"][...])


def about(path: Path) -> Any:
    return zarr.open_group(path, mode="r").attrs["tileseg"]


def own(plan: Any) -> list[str]:
    """Return why tiles of a plan have statistics of their own."""
    return [each.removeprefix(OWN) for each in plan.tiles.notes if each.startswith(OWN)]


class Attention(nn.Module):
    """InstanceNorm, and attention over the image besides."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True))
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        tokens = y.flatten(2).transpose(1, 2)
        tokens = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.head(tokens.transpose(1, 2).reshape(y.shape))


def test_a_region_is_taken_where_it_can_be(network: Network, tmp_path: Path) -> None:
    plan, named = measured(network), measured(network, statistics="region")
    assert (plan.settings.statistics, plan.asked.statistics) == ("region", "auto")
    assert plan.statistics.gathered == named.statistics.gathered
    assert plan.normalization == named.normalization
    assert plan.grid == named.grid
    assert own(plan) == []
    said = run(network, tmp_path / "a.ome.zarr")
    assert any(isinstance(each, Noted) and each.message == plan.region.sentence for each in said)
    assert about(tmp_path / "a.ome.zarr")["settings"]["statistics"] == "region"
    run(network, tmp_path / "b.ome.zarr", statistics="region")
    values = stored(tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(values, stored(tmp_path / "b.ome.zarr"))
    np.testing.assert_allclose(predict(IMAGE, network, settings()).compute(), values, rtol=0, atol=1e-12)


def test_what_looks_at_no_space_has_intensities_of_the_image(
    make_network: Callable[..., Network],
) -> None:
    plan = measured(make_network(ndim=2, norm="batch"))
    assert (plan.settings.statistics, plan.settings.intensities_of) == ("tile", "image")
    assert (plan.region, own(plan)) == (None, [])


def test_each_tile_has_its_own_where_it_must_and_says_why(network: Network, tmp_path: Path) -> None:
    whole = open_module(Attention(), axes="yx", in_channels=1, activation="sigmoid", name="attention")
    (why,) = own(laid(whole))
    assert why.startswith("they cannot be gathered from parts of an image: ")
    assert "attention" in why
    (why,) = own(laid(network, normalize="tile"))
    assert why == "each has intensities of its own."
    (why,) = own(laid(network, SERIES))
    assert why.startswith("they are those of one volume, and there are 3 in what is predicted: name one")
    assert own(laid(network, SERIES, box=((1, 2), (0, 96), (0, 160)))) == []
    assert laid(network, SERIES, region=((1, 2), (32, 72), (72, 128))).settings.statistics == "region"
    (why,) = own(measured(network, NOISE))
    assert why == "no content was found in noise: all is one value, or noise."
    # One tile that holds all makes no seams.
    assert own(measured(network, NOISE, core=(96, 160))) == []
    said = run(network, tmp_path / "a.ome.zarr", NOISE)
    assert any(isinstance(each, Noted) and each.message == OWN + why for each in said)
    assert about(tmp_path / "a.ome.zarr")["settings"]["statistics"] == "tile"
    by_tile = tmp_path / "b.ome.zarr"
    run(network, by_tile, NOISE, statistics="tile")
    np.testing.assert_array_equal(stored(tmp_path / "a.ome.zarr"), stored(by_tile))


@pytest.mark.parametrize(
    "how",
    [{"statistics": "region"}, {"intensities": "region"}, {"region": ((0, 24), (0, 40))}],
)
def test_what_was_asked_for_is_no_reason_to_do_something_else(network: Network, how: dict[str, Any]) -> None:
    with pytest.raises(ImageError, match="A region should have content"):
        measured(network, NOISE, **how)


def test_tiles_are_laid_for_what_is_found(network: Network, tmp_path: Path) -> None:
    """Without a core: that of whole tiles is another than that of a network with a halo."""
    free = {**HOW, "core": None, "memory": 3e-4}
    found = drain(measure_plan(lay_plan(NOISE, network, PredictSettings(**free), route_of(network, "cpu"))))
    tiles = PredictSettings(**free, statistics="tile")
    assert found.tiles.grid == lay_plan(NOISE, network, tiles, route_of(network, "cpu")).tiles.grid
    plan = lay_plan(NOISE, network, PredictSettings(**free), route_of(network, "cpu"))
    assert plan.grid != found.grid
    order = make_order(plan.tiles.image, plan.grid, plan.tiles.lead)
    saved = list(write(plan, tmp_path / "a.ome.zarr", order=order))[-1]
    assert isinstance(saved, Saved)
    assert saved.tiles == len(found.grid)


def test_a_lazy_array_of_noise_has_statistics_of_each_tile(network: Network) -> None:
    lazy = predict(NOISE, network, settings())
    with pytest.warns(UserWarning, match=f"{OWN}no content was found in noise"):
        values = lazy.compute(scheduler="synchronous")
    # Read and computed whole, tile by tile.
    plan = laid(network, NOISE)
    tile = plan.grid[(1, 1)]
    prepared = measured(network, NOISE, statistics="tile").prepared
    with torch.inference_mode():
        alone = network.module.double()(torch.from_numpy(prepared.read(tile.read))[None].double())
    network.module.float()
    expected = alone.softmax(1)[0].numpy()[(slice(None), *plan.grid.kept(tile).within(tile.read))]
    part = values[(slice(None), *plan.grid.kept(tile).slices)]
    np.testing.assert_allclose(part, expected, rtol=0, atol=1e-9)
    with pytest.raises(NoContentError):
        predict(NOISE, network, settings(statistics="region")).compute(scheduler="synchronous")


@pytest.mark.parametrize("way", ["tile", "region"])
def test_a_prediction_goes_on_as_it_was_begun(network: Network, tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.ome.zarr"
    work = predict_to_store(IMAGE, network, settings(statistics=way), path)
    while not (path / "0" / "c").exists():
        next(work)
    work.close()
    assert settled_by(path).statistics == way
    said = run(network, path)
    assert isinstance(said[-1], Saved)
    reasons = [each.message for each in said if isinstance(each, Noted) and each.message.startswith(OWN)]
    assert reasons == ([OWN + "this prediction was begun so."] if way == "tile" else [])
    once = tmp_path / "b.ome.zarr"
    run(network, once, statistics=way)
    np.testing.assert_array_equal(stored(path), stored(once))
    assert run(network, path)[-1].tiles_computed == 0


def test_one_that_was_left_to_the_program_goes_on_by_name_and_not_as_another(
    network: Network, tmp_path: Path
) -> None:
    path = tmp_path / "a.ome.zarr"
    run(network, path)
    assert run(network, path, statistics="region")[-1].tiles_computed == 0
    with pytest.raises(StoreError, match="statistics was region and now is tile"):
        run(network, path, statistics="tile")
    run(network, tmp_path / "b.ome.zarr", statistics="whole")
    with pytest.raises(StoreError, match="statistics was whole and now is region"):
        run(network, tmp_path / "b.ome.zarr")


@pytest.mark.parametrize("how", [{}, {"statistics": "region"}])
def test_boxes_predicted_one_by_one_fit_together(
    network: Network, tmp_path: Path, how: dict[str, Any]
) -> None:
    """The region is sought in the whole image: in each box there would be another."""
    run(network, tmp_path / "all.ome.zarr", **how)
    expected = stored(tmp_path / "all.ome.zarr")
    for number, box in enumerate((((0, 64), (0, 128)), ((64, 96), (0, 128)), ((0, 64), (128, 160)))):
        path = tmp_path / f"{number}.ome.zarr"
        run(network, path, box=box, **how)
        part = expected[(slice(None), *(slice(*each) for each in box))]
        np.testing.assert_allclose(stored(path), part, rtol=0, atol=1e-12)


def test_whole_tiles_have_their_own_and_the_prediction_s_intensities(network: Network) -> None:
    plan = drain(measure_plan(lay_plan(IMAGE, network, settings(), WHOLE_TILES)))
    assert plan.statistics is None
    assert plan.normalization == measured(network).normalization


def test_other_processes_come_to_the_same(network: Network, tmp_path: Path) -> None:
    run(network, tmp_path / "a.ome.zarr")
    with dask.config.set(scheduler="processes", num_workers=1):
        values = predict(IMAGE, network, settings()).compute()
        blank = predict(NOISE, network, settings()).compute()
    np.testing.assert_allclose(values, stored(tmp_path / "a.ome.zarr"), rtol=0, atol=1e-12)
    with pytest.warns(UserWarning, match=OWN):
        here = predict(NOISE, network, settings()).compute(scheduler="synchronous")
    np.testing.assert_array_equal(blank, here)
