"""The gate between what libraries raise and what users read."""

import pytest

from napari_tileseg.errors import DeviceError, ImageError, NetworkError, answering, reason_of


@pytest.mark.parametrize(
    "error", [KeyError("shape"), RecursionError("deep"), ZeroDivisionError(), SyntaxError("x")]
)
def test_whatever_a_library_raises_becomes_an_error_of_ours(error: Exception) -> None:
    with (
        pytest.raises(
            ImageError, match=rf"a\.tif should be a TIFF.*{type(error).__name__}.*Copy it"
        ) as caught,
        answering(ImageError, "a.tif should be a TIFF", "Copy it again."),
    ):
        raise error
    assert caught.value.__cause__ is error


def test_our_own_errors_pass() -> None:
    with pytest.raises(NetworkError, match=r"^as it is$"), answering(ImageError, "what", "cure"):
        raise NetworkError("as it is")


def test_memory_that_runs_out_is_not_damage() -> None:
    with (
        pytest.raises(DeviceError, match="more memory than is free"),
        answering(ImageError, "x.npy", "Crop it."),
    ):
        raise MemoryError


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_stopping_passes(stop: type[BaseException]) -> None:
    with pytest.raises(stop), answering(ImageError, "what", "cure"):
        raise stop


def test_a_reason_is_one_short_line() -> None:
    assert reason_of(ValueError("first.\nsecond")) == "ValueError: first"
    assert len(reason_of(ValueError("x" * 1000))) < 250
    assert reason_of(EOFError()) == "EOFError"
