"""A training that is killed goes on from its last checkpoint as if nothing had been."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from napari_tileseg.training import StepDone, open_training, resume_training


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute in one thread: two round sums in another way, and a forked process has trouble with them."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


def train(data, network, settings, folder: Path) -> None:
    """Train until killed, as a process of its own."""
    for _ in open_training(data, network, settings, folder).run():
        pass


@pytest.mark.usefixtures("one_thread")
def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_been(data, make_network, quick, tmp_path) -> None:
    settings = quick(steps=40, accumulate=1, checkpoint_every=0, validate_every=10)
    straight = open_training(data, make_network(), settings, tmp_path / "straight")
    losses = {each.step: each.loss for each in straight.run() if isinstance(each, StepDone)}
    # Forked, so that the process has what this one has imported.
    context = multiprocessing.get_context("fork")
    folder = tmp_path / "run"
    process = context.Process(target=train, args=(data, make_network(), settings, folder))
    process.start()
    deadline = time.monotonic() + 60
    while not (folder / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    resumed = resume_training(folder, data)
    rest = {each.step: each.loss for each in resumed.run() if isinstance(each, StepDone)}
    assert rest.items() <= losses.items()
    assert max(rest, default=40) == 40
    one, other = (each.network("now").module.state_dict() for each in (resumed, straight))
    assert all(torch.equal(one[name], other[name]) for name in one)
