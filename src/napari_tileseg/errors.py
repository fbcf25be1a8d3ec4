"""What can go wrong, in words a user can act on.

Every message says what was expected, what came, and what to do next. The command line ends with the
``exit_code`` of the error's class.
"""


class TilesegError(Exception):
    """Base of every error that napari-tileseg raises on purpose."""

    exit_code = 1


class SettingsError(TilesegError, ValueError):
    """A setting is out of its range, or two settings contradict each other."""

    exit_code = 2


class ImageError(TilesegError):
    """An image cannot be opened, or cannot be predicted as it is."""

    exit_code = 3


class NonFiniteError(ImageError):
    """An image has voxels that are NaN or infinite, and nobody has said what to do with them."""


class NetworkError(TilesegError):
    """A network cannot be opened, or does not fit the image."""

    exit_code = 4


class UntrustedNetworkError(NetworkError):
    """Opening the file would run code that nobody has said to trust.

    Parameters
    ----------
    message : str
        What was expected, what came and what to do.
    sha256 : str
        Hash of the file, to be handed back once it is trusted.
    """

    def __init__(self, message: str, sha256: str) -> None:
        super().__init__(message)
        self.sha256 = sha256


class StoreError(TilesegError):
    """A result cannot be written, or the place holds something else."""

    exit_code = 5


class DeviceError(TilesegError):
    """The device is absent, lost, or has too little memory for the work."""

    exit_code = 6
