"""What the benchmarks share: memory, floating-point operations, and words about the machine."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch


class AnonymousPeak:
    """Largest anonymous memory of this process while it is entered, in bytes.

    It is looked at every few milliseconds. File-backed pages are not counted: the system takes them back when
    it likes.

    Parameters
    ----------
    every : float
        Seconds between two looks.
    """

    def __init__(self, every: float = 0.005) -> None:
        self._every = every

    def __enter__(self) -> AnonymousPeak:
        self.start = self.peak = anonymous_bytes()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        """Bytes of the peak beyond what there was at the start."""
        return self.peak - self.start

    def restart(self) -> int:
        """The peak up to now; from now on it is looked for anew."""
        peak, self.peak = self.peak, anonymous_bytes()
        return peak

    def _watch(self) -> None:
        while not self._end.wait(self._every):
            self.peak = max(self.peak, anonymous_bytes())


def anonymous_bytes() -> int:
    """Anonymous memory of this process, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


#: What torch's own counter does not know.
_ONEDNN = torch.ops.aten.mkldnn_convolution


def _convolution_flops(*shapes: Any, out_shape: Any, **_: Any) -> int:
    """Return the operations of a convolution of an image of the first shape with a kernel of the second."""
    return 2 * prod(out_shape) * prod(shapes[1][1:])


def count_flops(run: Callable[[], Any]) -> int:
    """Floating-point operations of the convolutions and matrix products that a call runs in this thread."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False, custom_mapping={_ONEDNN: _convolution_flops}) as counter:
        run()
    return int(counter.get_total_flops())


def about_machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = facts.get("flags", "").split()
    return {
        "system": platform.platform(),
        "processor": facts.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "formats": [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
