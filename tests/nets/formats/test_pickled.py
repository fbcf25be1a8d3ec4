"""What lies beside the weights in a pickle: plain numbers are read, whatever would run code is refused."""

import argparse
import collections
import datetime
import io
import pathlib
import pickle
import zipfile
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.packages.content import look_at
from napari_tileseg.nets.formats.pytorch import pickled
from napari_tileseg.nets.formats.pytorch.pickle_calls import why_odd
from napari_tileseg.nets.formats.pytorch.plain_numbers import plain_numbers_allowed

WEIGHTS = {"output.weight": torch.ones(2, 3)}


def saved(content: Any, *, old: bool = False, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not old, pickle_protocol=protocol)
    return file.getvalue()


def read(data: bytes) -> Any:
    content = look_at(io.BytesIO(data), len(data), pathlib.Path("a.pth"))
    pickled.structure(content)
    return pickled.load(content, data)


def checkpoint(beside: Any, **how: Any) -> bytes:
    return saved({"state_dict": WEIGHTS, "_best_ema": beside, "current_epoch": 3}, **how)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
@pytest.mark.parametrize(
    "number",
    [
        np.float32(0.5),
        np.float64(-1e300),
        np.float16(2),
        np.int64(-3),
        np.uint8(200),
        np.bool_(True),
        np.array(7, dtype=">i4")[()],
        [np.float64(0.1), {"loss": np.int32(2)}],
    ],
    ids=repr,
)
def test_numbers_of_numpy_beside_the_weights_are_read(number: Any, old: bool) -> None:
    state = read(checkpoint(number, old=old))["state_dict"]
    assert torch.equal(state["output.weight"], WEIGHTS["output.weight"])


@pytest.mark.parametrize("number", [np.float32(0.1), np.int16(-2), np.bool_(False), np.uint64(2**63)])
def test_numbers_of_numpy_keep_their_value(number: Any) -> None:
    with plain_numbers_allowed():
        read = torch.load(io.BytesIO(saved({"a": number})), weights_only=True)["a"]
    assert (read, type(read)) == (number.item(), type(number.item()))


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
@pytest.mark.parametrize(
    ("beside", "named"),
    [
        (np.zeros(3), r"numpy\._core\.multiarray\._reconstruct|numpy\.core\.multiarray\._reconstruct"),
        (pathlib.PurePosixPath("a"), r"pathlib\.PurePosixPath"),
        (collections.defaultdict(int), r"collections\.defaultdict"),
        (argparse.Namespace(a=1), r"argparse\.Namespace"),
        (datetime.date(2024, 1, 1), r"datetime\.date"),
        (Fraction(1, 3), r"fractions\.Fraction"),
        (slice(3), "slice"),
        (np.float64, r"numpy\.float64"),
    ],
    ids=str,
)
def test_everything_else_is_refused_by_its_name(beside: Any, named: str, old: bool) -> None:
    with pytest.raises(NetworkError, match=rf"holds more than weights \(.*({named}).*would run code"):
        read(checkpoint(beside, old=old))


@pytest.mark.parametrize("cut", [b"PK\x05\x06", b"PK\x01\x02"], ids=["no end", "a broken list"])
def test_a_file_whose_list_of_weights_is_damaged_is_incomplete(cut: bytes) -> None:
    with pytest.raises(NetworkError, match=r"is not a complete PyTorch file.*copy it again"):
        read(checkpoint(1).replace(cut, b"PK\x00\x00"))


def test_all_that_is_unknown_is_named_at_once() -> None:
    with pytest.raises(NetworkError, match=r"argparse\.Namespace, .*pathlib\.PurePosixPath"):
        read(checkpoint([pathlib.PurePosixPath("a"), argparse.Namespace()]))


class Stated:
    """Pickles as a scalar of NumPy with a type, a byte order and bytes as one likes."""

    def __init__(self, code: object, state: object, data: object) -> None:
        self.code, self.state, self.data = code, state, data

    def __reduce__(self) -> tuple[Any, ...]:
        return np.float64(1).__reduce__()[0], (_Type(self.code, self.state), self.data)


class _Type:
    def __init__(self, code: object, state: object) -> None:
        self.code, self.state = code, state

    def __reduce__(self) -> tuple[Any, ...]:
        return np.dtype, (self.code, False, True), self.state


@pytest.mark.parametrize(
    ("code", "state", "data"),
    [
        ("O8", (3, "|", None, None, None, -1, -1, 63), b"12345678"),
        ("V8", (3, "|", None, None, None, 8, 1, 0), b"12345678"),
        ("f8", (3, "<", None, None, None, 2**40, 1, 0), b"123"),
        ("f8", (3, "?", None, None, None, -1, -1, 0), b"12345678"),
        ("f8", "<", b"12345678"),
        ("f8,i4", (3, "<", None, None, None, -1, -1, 0), b"123456789012"),
        (8, (3, "<", None, None, None, -1, -1, 0), b"12345678"),
        ("f8", (3, "<", None, None, None, -1, -1, 0), "12345678"),
        ("M8", (4, "<", None, None, None, -1, -1, 0, ({}, (b"s", 1, 1, 1))), b"12345678"),
    ],
)
def test_a_number_whose_type_is_stated_wrongly_is_refused(code: Any, state: Any, data: Any) -> None:
    with pytest.raises(NetworkError, match="more than weights and plain numbers"):
        read(checkpoint(Stated(code, state, data)))


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
@pytest.mark.parametrize("protocol", [4, 5])
def test_a_later_protocol_is_said_to_be_one(protocol: int, old: bool) -> None:
    with pytest.raises(NetworkError, match=f"pickle protocol {protocol}, which cannot be opened without"):
        read(saved(WEIGHTS, old=old, protocol=protocol))


def test_nothing_of_ours_stays_on_the_list_of_safe_names() -> None:
    before = list(torch.serialization.get_safe_globals())
    read(checkpoint(np.float32(1)))
    with pytest.raises(NetworkError):
        read(checkpoint(pickle.Pickler))
    assert torch.serialization.get_safe_globals() == before


@pytest.mark.parametrize(
    "program",
    [
        b"X\x03\x00\x00\x00abc)R.",
        b"X\x03\x00\x00\x00abc)\x81.",
        b"(K\x01K\x02t)R.",
        b"]q\x00h\x00)R.",
        b"ccollections\nOrderedDict\n)R)R.",
        b"c" + b"a" * 501 + b"\nb\n.",
    ],
    ids=["a text", "an object", "a tuple", "what was kept", "a result", "a long name"],
)
def test_what_no_program_writes_is_odd(program: bytes) -> None:
    assert why_odd(io.BytesIO(b"\x80\x02" + program))


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
@pytest.mark.parametrize(
    "beside",
    [np.float32(1), collections.OrderedDict(a=1), {1, 2}, torch.Size([2]), torch.nn.Parameter(torch.ones(2))],
)
def test_what_programs_write_is_not_odd(beside: Any, old: bool) -> None:
    assert read(checkpoint(beside, old=old))["current_epoch"] == 3


@pytest.mark.parametrize("program", [b"N0" * 2**20 + b"N.", b"]" * 2**15 + b"a" * (2**15 - 1) + b"."])
def test_what_is_longer_or_deeper_than_any_weights_is_not_followed(program: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="more than weights have names"):
        why_odd(io.BytesIO(program))


def test_the_names_of_many_weights_and_of_their_optimizer_are_followed() -> None:
    momenta = {
        number: {"step": 1.0, "exp_avg": torch.zeros(1), "exp_avg_sq": torch.zeros(1)}
        for number in range(4000)
    }
    weights = {f"encoder.stages.{number}.blocks.0.conv.weight": torch.zeros(1) for number in range(4000)}
    file = io.BytesIO()
    torch.save({"network": weights, "optimizer": {"state": momenta, "order": list(range(100_000))}}, file)
    with zipfile.ZipFile(file) as archive:
        names = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    assert why_odd(io.BytesIO(names)) == ""
