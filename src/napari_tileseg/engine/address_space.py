"""How much address space a process may still take, as `ulimit -v` and queues of clusters limit it."""

from __future__ import annotations

import sys

import psutil


def left_of_address_space() -> int:
    """Return the bytes that this process may still map; `sys.maxsize` where nothing is limited."""
    try:
        import resource
    except ImportError:  # Windows limits whole jobs, and no address space.
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(0, limit - int(psutil.Process().memory_info().vms))
