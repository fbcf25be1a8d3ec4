"""What another process, or a later session, needs to open the same network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_tileseg.errors import NetworkError

_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Characters that a path has at most.
_LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class NetworkReference:
    """All that another process needs to open the same network.

    Parameters
    ----------
    path : str
        Absolute path, or ``sample:NAME``; "" for a network that is only in memory.
    sha256 : str
        Hash of the file's bytes.
    architecture : str, optional
        JSON description, for files that do not describe themselves.
    trust_sha256 : str, optional
        Hash of a TorchScript file that the user trusts. It travels between processes of that user, when a
        network is pickled, and is never written to a file: use `as_data` and `from_untrusted` for those.
    """

    path: str
    sha256: str
    architecture: str | None = None
    trust_sha256: str | None = None

    def as_data(self) -> dict[str, Any]:
        """Return plain values to be written down: all but trust, which is a user's own."""
        return {"path": self.path, "sha256": self.sha256, "architecture": self.architecture}

    @classmethod
    def from_untrusted(cls, values: object) -> NetworkReference:
        """Read a reference out of data that somebody else may have written.

        Place, hash and description are taken, each checked; whatever the data say of trust is dropped.

        Parameters
        ----------
        values : object
            A mapping as `as_data` gives it, possibly with other entries.

        Raises
        ------
        NetworkError
            If it names no network.

        Examples
        --------
        >>> values = {"path": "a.pt", "sha256": 64 * "0", "trust_sha256": 64 * "0"}
        >>> NetworkReference.from_untrusted(values).trust_sha256 is None
        True
        """
        if not isinstance(values, Mapping):
            raise NetworkError(f"A network is named by its path and hash; got {type(values).__name__}.")
        path, sha256, description = (values.get(key) for key in ("path", "sha256", "architecture"))
        if not isinstance(path, str) or len(path) > _LONGEST_PATH or "\0" in path:
            raise NetworkError(f"A network's path is text; got {str(path)[:80]!r}. Choose the network anew.")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise NetworkError(
                f"A network is named by its SHA-256, of 64 digits; got {str(sha256)[:80]!r} for {path}. "
                "Choose the network anew."
            )
        # The description itself, never the path of a file that holds one.
        if description is not None and not (
            isinstance(description, str) and description.lstrip().startswith("{")
        ):
            raise NetworkError(f"The description of {path} is JSON; got {str(description)[:80]!r}.")
        return cls(path, sha256, description)
