"""Results of self-tests, cached on disk: other processes open the same package again and again."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from math import isfinite
from typing import Any

from torch import nn

from napari_tileseg._app_dirs import cache_folder
from napari_tileseg._files import json_text, write_text
from napari_tileseg.nets.self_test.result import SelfTestResult
from napari_tileseg.nets.self_test.running import SelfTest, run_self_test
from napari_tileseg.nets.spec import NetworkSpec


def cached_self_test(test: SelfTest, module: nn.Module, spec: NetworkSpec, key: str) -> SelfTestResult:
    """Return what came of a package's test, from the cache where it was run before.

    Parameters
    ----------
    test : SelfTest
        The test.
    module : torch.nn.Module
        The network.
    spec : NetworkSpec
        What is known of it.
    key : str
        Hash of all that decides what it computes.
    """
    if test.image is None:
        return run_self_test(test, module, spec)
    programs = {name: version(name) for name in ("napari-tileseg", "torch", "monai")}
    name = hashlib.sha256(
        f"{key} {test.sha256} {spec.input_normalization} {spec.activation}".encode()
    ).hexdigest()
    path = cache_folder() / "self_tests" / f"{name}.json"
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["programs"] == programs:
            return _parsed(entry["result"])
    except Exception:  # noqa: BLE001 - whatever is wrong with an entry, the test is run anew
        entry = None
    result = run_self_test(test, module, spec)
    try:
        write_text(path, json_text({"programs": programs, "result": result.as_dict()}, indent=None))
    except OSError:
        # A cache that cannot be written costs time, not results.
        return result
    return result


def _parsed(values: dict[str, Any]) -> SelfTestResult:
    numbers = [values[each] for each in ("difference", "largest")]
    words = [values[each] for each in ("likely", "problem")]
    if not all(
        each is None or (isinstance(each, float) and isfinite(each) and each >= 0) for each in numbers
    ):
        raise ValueError("a difference is a number from 0 on")
    if not all(each is None or isinstance(each, str) for each in words):
        raise ValueError("words are text")
    return SelfTestResult(difference=numbers[0], largest=numbers[1], likely=words[0], problem=words[1])
