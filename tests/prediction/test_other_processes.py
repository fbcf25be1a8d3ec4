"""A network that is only in memory is refused where a prediction would be computed in other processes."""

import pickle
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import dask
import numpy as np
import pytest
import torch
from dask.threaded import get
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.images import Image
from napari_tileseg.nets import Network, network_in_memory, open_network
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.prediction import predict
from napari_tileseg.settings import PredictSettings

ADVICE = "Save it, open the file"
SETTINGS = PredictSettings(core=(16, 16), device="cpu")


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    said = Description(axes="yx", in_channels=1, activation="none")
    return network_in_memory(nn.Conv2d(1, 1, 3, padding=1), said)


@pytest.fixture
def image() -> Image:
    return Image(data=np.random.default_rng(0).integers(0, 999, (1, 32, 32)), axes="cyx")


class Client:
    """Stands for a cluster: dask calls a method of it."""

    def get(self, *arguments: Any, **named: Any) -> Any:
        return get(*arguments, **named)


@pytest.mark.parametrize("name", ["processes", "client", "pool of processes"])
def test_it_is_refused_when_the_array_is_made(name: str, image: Image, network: Network) -> None:
    pool = ProcessPoolExecutor(1)
    schedulers = {"processes": "processes", "client": Client().get, "pool of processes": pool}
    with dask.config.set(scheduler=schedulers[name]), pytest.raises(NetworkError, match=ADVICE):
        predict(image, network, SETTINGS)
    pool.shutdown()


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize("name", [None, "threads", "sync", "pool of threads"])
def test_threads_of_this_process_compute_it(
    name: str | None, image: Image, network: Network, threads: Executor
) -> None:
    scheduler = threads if name == "pool of threads" else name
    with dask.config.set(scheduler=scheduler):
        assert np.isfinite(predict(image, network, SETTINGS).compute()).all()


def test_it_is_refused_before_any_task_where_the_processes_are_named_later(
    image: Image, network: Network
) -> None:
    array = predict(image, network, SETTINGS)
    with pytest.raises(NetworkError, match=ADVICE):
        pickle.dumps(array.dask)


def test_a_network_of_a_file_is_not_refused(image: Image) -> None:
    network = open_network("sample:cells_2d_batch_renorm")
    with dask.config.set(scheduler="processes"):
        assert predict(image, network, SETTINGS).shape == (network.spec.out_channels, 32, 32)


def test_equal_weights_and_other_code_are_two_arrays(image: Image, network: Network) -> None:
    torch.manual_seed(0)
    dilated = network_in_memory(nn.Conv2d(1, 1, 3, padding=5, dilation=5), network.description)
    first, second = (predict(image, each, SETTINGS) for each in (network, dilated))
    assert first.name != second.name
    assert not np.allclose(first.compute(), second.compute())
