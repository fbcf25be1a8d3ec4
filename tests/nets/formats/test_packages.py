"""What a user chose, as members: named alike in a folder and a zip file, bounded, confined, hashed."""

import hashlib
import os
import struct
import sys
import zipfile
from pathlib import Path

import pytest

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.packages.package import open_package

FILES = {"rdf.yaml": b"name: a", "weights/net.pt": bytes(range(256)) * 8}


def folder_of(files: dict[str, bytes], folder: Path) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zip_of(files: dict[str, bytes], path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_a_folder_its_zip_file_and_a_file_in_it_are_one_package(tmp_path: Path) -> None:
    folder = folder_of(FILES, tmp_path / "a")
    below = {f"a/{name}": data for name, data in FILES.items()}
    chosen = [
        folder,
        zip_of(FILES, tmp_path / "a.zip"),
        zip_of(below, tmp_path / "b.zip"),
        folder / "rdf.yaml",
    ]
    hashes = set()
    for path in chosen:
        with open_package(path) as package:
            assert {name: package.read(name) for name in FILES} == FILES
            assert set(package.names) == ({"rdf.yaml"} if path.suffix == ".yaml" else set(FILES))
            assert not package.has("other.pt")
            hashes.add(package.sha256(tuple(FILES)))
    lines = "".join(f"{name}\n{hashlib.sha256(data).hexdigest()}\n" for name, data in FILES.items())
    assert hashes == {hashlib.sha256(lines.encode()).hexdigest()}


def test_the_hash_of_a_chosen_file_alone_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = zip_of(FILES, tmp_path / "a.zip")
    with open_package(path) as package:
        assert package.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "C:\\secret", "a\0b", 3])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    for path in (folder_of(FILES, tmp_path / "a"), zip_of(FILES, tmp_path / "a.zip")):
        with open_package(path) as package, pytest.raises(NetworkError, match="named by its path"):
            package.read(name)


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
def test_links_out_of_a_folder_and_pipes_are_no_members(tmp_path: Path) -> None:
    folder = folder_of(FILES, tmp_path / "a")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link.pt").symlink_to(tmp_path / "secret")
    (folder / "inside.pt").symlink_to("weights/net.pt")
    (folder / "out").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.pt")
    with open_package(folder) as package:
        for name, words in (("link.pt", "leads out"), ("out/secret", "leads out"), ("pipe.pt", "is a pipe")):
            with pytest.raises(NetworkError, match=words):
                package.read(name)
        assert not package.has("link.pt")
        assert package.read("inside.pt") == FILES["weights/net.pt"]
        assert "out/secret" not in package.names


def test_members_of_a_zip_file_that_climb_or_share_a_name_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    zip_of({"../out.pt": b"1", "/root.pt": b"2", "good.pt": b"3", "two.pt": b"4"}, path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("two.pt", b"5")
    with open_package(path) as package:
        assert package.names == ("good.pt",)


def test_a_member_without_a_name_is_none(tmp_path: Path) -> None:
    path = zip_of({"net.pt": b"1", "x": b"2"}, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 28, 0)
    # What was the name is taken for a comment, so that the list of members stays whole.
    struct.pack_into("<H", data, at + 32, 1)
    path.write_bytes(bytes(data))
    with open_package(path) as package:
        assert package.names == ("net.pt",)


@pytest.mark.parametrize("stated", [5, 2**20])
def test_a_member_that_has_other_bytes_than_it_states_is_refused(tmp_path: Path, stated: int) -> None:
    path = zip_of({"net.pt": os.urandom(3000)}, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 24, stated)
    path.write_bytes(bytes(data))
    with open_package(path) as package, pytest.raises(NetworkError, match="should be a whole member"):
        package.read("net.pt")


def test_a_member_that_would_grow_without_bounds_is_not_unpacked(tmp_path: Path) -> None:
    path = zip_of({"net.pt": bytes(2**27)}, tmp_path / "a.zip")
    with open_package(path) as package, pytest.raises(NetworkError, match="does not shrink so much"):
        package.read("net.pt")


def test_a_member_is_bounded_and_has_to_stay_as_it_was(tmp_path: Path) -> None:
    folder = folder_of(FILES, tmp_path / "a")
    with open_package(folder) as package:
        with pytest.raises(NetworkError, match=r"2048 bytes"):
            package.read("weights/net.pt", 100)
        package.digest("weights/net.pt")
        (folder / "weights/net.pt").write_bytes(bytes(2048))
        with pytest.raises(NetworkError, match="is being written"):
            package.read("weights/net.pt")
