"""Triton is hidden where importing it would end the process, and nowhere else."""

import importlib.util
import sys

import pytest

from napari_tileseg.session.background.hidden_triton import hide_triton

MESA = "7f00-7f01 r-xp 00000000 fe:00 1 /usr/lib/libLLVM-15.so.1\n"
OTHER = "7f00-7f01 r-xp 00000000 fe:00 1 /usr/lib/libGLX_vendor.so.0\n"


@pytest.fixture
def maps(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    return tmp_path / "maps"


def test_it_looks_absent_beside_the_llvm_of_mesa(maps, monkeypatch):
    maps.write_text(OTHER + MESA)
    monkeypatch.setitem(sys.modules, "triton", None)  # so that it is put back
    del sys.modules["triton"]
    hide_triton(maps)
    assert importlib.util.find_spec("triton") is None
    with pytest.raises(ImportError):
        __import__("triton")


@pytest.mark.parametrize("text", [OTHER, ""])
def test_it_is_left_alone_elsewhere(maps, text):
    maps.write_text(text)
    hide_triton(maps)
    assert "triton" not in sys.modules


def test_other_systems_have_no_such_file(maps):
    hide_triton(maps)
    assert "triton" not in sys.modules


def test_what_is_imported_already_stays(maps, monkeypatch):
    there = type(sys)("triton")
    monkeypatch.setitem(sys.modules, "triton", there)
    maps.write_text(MESA)
    hide_triton(maps)
    assert sys.modules["triton"] is there
