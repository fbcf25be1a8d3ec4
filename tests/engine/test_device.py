import pytest
import torch

from napari_tileseg.engine.device import check_dtype, ran_out_of_memory, resolve_device, true_float32
from napari_tileseg.errors import DeviceError


def test_auto_takes_the_first_device_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == "cuda:0"
    assert resolve_device("cuda:1") == "cuda:1"
    assert resolve_device("cuda") == "cuda"
    with pytest.raises(DeviceError, match=r"one of cpu, cuda:0, cuda:1, mps.*'cuda:2'"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cpu:0", "CUDA"])
def test_an_unknown_device_is_named(name):
    with pytest.raises(DeviceError, match="this machine has"):
        resolve_device(name)


def test_formats_are_checked():
    check_dtype("float64", "cpu")
    with pytest.raises(DeviceError, match="MPS"):
        check_dtype("float64", "mps")
    with pytest.raises(DeviceError, match="int8"):
        check_dtype("int8", "cpu")


def test_float32_is_not_rounded_to_tf32():
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    with true_float32("cuda:0"):
        assert not cudnn.allow_tf32
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == before[:3]
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before
    with true_float32("cpu"):
        assert cudnn.allow_tf32 == before[3]


def test_what_a_full_memory_sounds_like():
    assert ran_out_of_memory(MemoryError())
    assert ran_out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert ran_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert not ran_out_of_memory(RuntimeError("Expected 5D input"))
    assert not ran_out_of_memory(ValueError("out of memory"))
