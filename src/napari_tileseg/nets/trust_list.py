"""Which files may run their code: remembered for the user, by hash."""

from __future__ import annotations

import re
from pathlib import Path

from napari_tileseg._app_dirs import data_folder
from napari_tileseg.errors import NetworkError, StoreError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def trust_file() -> Path:
    """Return the file of trusted hashes, one a line."""
    return data_folder() / "trusted_networks.txt"


def trust(sha256: str) -> None:
    """Remember that the file with this hash may run its code.

    Parameters
    ----------
    sha256 : str
        Hash of the file's bytes, 64 hexadecimal digits.

    Raises
    ------
    NetworkError
        If it is no such hash.
    StoreError
        If it cannot be remembered.
    """
    digest = sha256.strip().lower()
    if not _SHA256.fullmatch(digest):
        raise NetworkError(f"A SHA-256 has 64 hexadecimal digits; got {sha256!r}.")
    if is_trusted(digest):
        return
    try:
        trust_file().parent.mkdir(parents=True, exist_ok=True)
        with trust_file().open("a", encoding="ascii") as file:
            file.write(f"{digest}\n")
    except OSError as error:
        raise StoreError(
            f"The trusted hash could not be remembered in {trust_file()}: {error}. "
            "Make that folder writable, or set TILESEG_HOME to one that is."
        ) from error


def is_trusted(sha256: str) -> bool:
    """Return whether the user has stated before that the file with this hash may run its code."""
    try:
        lines = trust_file().read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        # Nothing was ever trusted, or it cannot be read: then nothing is.
        return False
    return sha256 in lines
