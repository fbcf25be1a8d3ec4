"""Networks as programs in one file: ONNX, TorchScript, and programs of `torch.export`."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.graphs.capture import export_program
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.nets.activation import apply_activation
from napari_tileseg.nets.export.portable import Portable
from napari_tileseg.nets.network import open_network

#: Version of the operations of ONNX that files are written in.
OPSET = 18
#: What input and output are called in a file.
IMAGE, PROBABILITIES = "image", "probabilities"
#: Packages by which torch writes ONNX.
_OF_ONNX = ("onnx", "onnxscript")
#: Bytes of weights with which an ONNX file would be too large to hold them.
_LARGEST_ONNX = 2**31 - 2**26


def write_torchscript(given: Portable, path: Path) -> float:
    """Write a network as TorchScript; return by how much the file is off from it.

    Raises
    ------
    NetworkError
        If it cannot be followed, or does something else on images of other sizes.
    """
    what = f"TorchScript of {given.network.spec.name}"
    with _writing(what):
        traced = torch.jit.trace(given.module, given.example(), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(path))
        written = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return given.difference(written, what)


def write_exported_program(given: Portable, path: Path) -> float:
    """Write a network as a program of `torch.export`; return by how much the file is off from it.

    Raises
    ------
    NetworkError
        If torch cannot export it.
    """
    what = f"An exported program of {given.network.spec.name}"
    with _writing(what):
        torch.export.save(_program(given), str(path))
    return given.difference(_opened(path), what)


def write_onnx(given: Portable, path: Path) -> float:
    """Write a network as ONNX; return by how much the file, as it is opened here, is off from it.

    Raises
    ------
    NetworkError
        If the packages that write ONNX are absent, or an operation has no counterpart in it.
    """
    what = f"An ONNX file of {given.network.spec.name}"
    check_onnx()
    size = sum(each.numel() * each.element_size() for each in given.module.state_dict().values())
    if size > _LARGEST_ONNX:
        raise NetworkError(
            f"{what} would have {size} bytes of weights; one file of ONNX holds {_LARGEST_ONNX}. Export it "
            "as TorchScript, or as an exported program."
        )
    with _writing(what):
        written = torch.onnx.export(
            _program(given),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[IMAGE],
            output_names=[PROBABILITIES],
        )
        assert written is not None  # it is returned wherever no path is given
        _name_axes(written.model, given.network.spec.axes)
        written.save(str(path), external_data=False)
    return given.difference(_opened(path), what)


def check_onnx() -> None:
    """Raise `NetworkError` unless the packages are there by which torch writes ONNX."""
    missing = [name for name in _OF_ONNX if importlib.util.find_spec(name) is None]
    if missing:
        raise NetworkError(
            f"ONNX is written by packages that are not installed: {', '.join(missing)}. Install them: "
            'pip install "napari-tileseg[export]".'
        )


def _program(given: Portable) -> ExportedProgram:
    module, channels = deepcopy(given.module), given.network.spec.in_channels
    if not given.sizes.fixed:
        return export_program(module, channels, given.sizes)
    with torch.no_grad():
        return torch.export.export(module, (given.example(),), strict=False)


def _name_axes(model: Any, axes: str) -> None:
    """Give the axes of input and output their names, in place of those that export counts up."""
    for value in (*model.graph.inputs, *model.graph.outputs):
        shape = value.shape
        space = [n if isinstance(n, int) else name for n, name in zip(shape[2:], axes, strict=True)]
        value.shape = type(shape)([*shape[:2], *space])


def _opened(path: Path) -> nn.Module:
    """Return a file that was written, as it is opened here: what gives probabilities."""
    network = open_network(path)
    module, activation = network.module, network.spec.activation

    class Opened(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return apply_activation(module(image), activation)

    return Opened()


@contextmanager
def _writing(what: str) -> Iterator[None]:
    """Turn whatever torch raises into our own words, and keep what it says about its own insides."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    except (NoRuleError, NetworkError) as error:
        raise NetworkError(f"{what} cannot be written: {str(error).rstrip('.')}.") from error
    except OSError:
        raise
    except Exception as error:
        # Whatever the network's own code, or torch's exporters, run into.
        raise NetworkError(
            f"{what} cannot be written ({reason_of(error)}). Export it in another format."
        ) from error
    finally:
        logging.disable(level)
