"""MONAI bundles as somebody might make them to harm."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hostile.files import GIB, Call, Hostile, Place, make_script, saved, sparse
from hostile.packages import written, zipped

_METADATA, _CONFIG = "configs/metadata.json", "configs/inference.json"
_YAML, _WEIGHTS, _SCRIPT = "configs/inference.yaml", "models/model.pt", "models/model.ts"
_ARGUMENTS = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [2, 3], "strides": [2]}
_RANGE = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": 0, "a_max": 1}


def _metadata(**changed: Any) -> dict[str, Any]:
    tensor = {"num_channels": 1, "spatial_shape": ["8*n", "8*n"]}
    stated = {"inputs": {"image": tensor}, "outputs": {"pred": {"num_channels": 2}}}
    return {"monai_version": "1.5", "name": "a", "network_data_format": stated, **changed}


def bundle_config(network: Any = None, before: Any = (), **more: Any) -> dict[str, Any]:
    """Return a configuration of a small network."""
    network = {"_target_": "UNet", **_ARGUMENTS} if network is None else network
    return {"network_def": network, "preprocessing": {"_target_": "Compose", "transforms": before}, **more}


def _unet(**changed: Any) -> dict[str, Any]:
    return bundle_config({"_target_": "UNet", **_ARGUMENTS, **changed})


def _state() -> dict[str, torch.Tensor]:
    from napari_tileseg.nets.architectures.registry import build

    return dict(build("monai_unet", **_ARGUMENTS).state_dict())


def bundle_files(config: Any = None, metadata: Any = None, weights: Any = None) -> dict[str, bytes]:
    """Return the files of a bundle; texts are taken as they are."""
    texts = {_METADATA: metadata or _metadata(), _CONFIG: bundle_config() if config is None else config}
    stated = {name: said if isinstance(said, str) else json.dumps(said) for name, said in texts.items()}
    data = {name: text.encode() for name, text in stated.items()}
    return {**data, _WEIGHTS: saved(_state() if weights is None else weights)}


def _of(config: Any = None, metadata: Any = None) -> Callable[[Place], Path]:
    return lambda place: written(place, bundle_files(config, metadata))


def _code(place: Place) -> str:
    return f"__import__('pathlib').Path({str(place.mark)!r}).touch()"


def _coded(config: Callable[[str], dict[str, Any]]) -> Callable[[Place], Path]:
    """Make a bundle whose configuration holds an expression that leaves a mark."""
    return lambda place: written(place, bundle_files(config(f"${_code(place)}")))


def _in_yaml(text: Callable[[Place], str]) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        files = bundle_files()
        del files[_CONFIG]
        return written(place, {**files, _YAML: text(place).encode()})

    return make


def _bomb(_: Place) -> str:
    """Return YAML that stands for 10 to the 9 values."""
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]", *levels, "network_def: *a8"])


def _references() -> dict[str, Any]:
    """Return a configuration in which each of 30 names refers to the one before it ten times."""
    levels = {f"a{n}": [f"@a{n - 1}"] * 10 for n in range(1, 30)}
    return bundle_config("@a29", a0=1, **levels)


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _scripts(place: Place) -> Path:
    """Make a bundle with the code of its network beside it."""
    code = f"{_code(place)}\nclass Net: pass\n".encode()
    files = bundle_files(bundle_config({"_target_": "scripts.net.Net"}))
    return written(place, {**files, "scripts/__init__.py": code, "scripts/net.py": code})


def _scripted(place: Place) -> Path:
    """Make a bundle that opens by its TorchScript alone, which nobody trusts."""
    folder = written(place, bundle_files(bundle_config({"_target_": "scripts.net.Net"})))
    make_script(folder / _SCRIPT, place.mark)
    return folder


def _calling(place: Place) -> Path:
    return written(place, bundle_files(weights={"model": _state(), "epoch": Call(Path.touch, place.mark)}))


def _spread(place: Place) -> Path:
    """Make weights that stand for far more than the file holds."""
    weights = _state()
    weights[next(iter(weights))] = torch.zeros(1).as_strided((10**9,), (0,))
    return written(place, bundle_files(weights=weights))


def _pointer(place: Place) -> Path:
    large = "large_files:\n- path: models/model.pt\n  url: 'file:///etc/passwd'\n"
    pointer = b"version https://git-lfs.github.com/spec/v1\nsize 4\n"
    return written(place, {**bundle_files(), _WEIGHTS: pointer, "large_files.yml": large.encode()})


def _elsewhere(name: str, target: Callable[[Place], Path]) -> Callable[[Place], Path]:
    """Make a bundle of which one member is a link that leads out of it."""

    def make(place: Place) -> Path:
        folder = written(place, bundle_files())
        (folder / name).unlink()
        (folder / name).symlink_to(target(place))
        return folder

    return make


def _other(place: Place) -> Path:
    return place.outside / "kept.txt"


def _replaced(make: Callable[[Path], object], name: str) -> Callable[[Place], Path]:
    def made(place: Place) -> Path:
        folder = written(place, bundle_files())
        (folder / name).unlink()
        make(folder / name)
        return folder

    return made


def _climbing(place: Place) -> Path:
    files = bundle_files()
    return zipped(place, {**files, _WEIGHTS: b"", f"../../outside/{_WEIGHTS}": files[_WEIGHTS]})


def _growing(place: Place) -> Path:
    """Make a zip file whose weights unpack to a thousand times their size."""
    return zipped(place, bundle_files(weights={"model": _state(), "more": torch.zeros(2**27)}))


def _by_configuration(place: Place) -> Path:
    """Choose the configuration of a bundle whose weights lie outside, by a link."""
    return _elsewhere(_WEIGHTS, _other)(place) / _CONFIG


_TAG = "network_def: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{}']]"
_LARGE_NUMBER = '{"network_def": {"_target_": "UNet", "spatial_dims": 2, "channels": [' + "9" * 5000 + "]}}"

#: Each opens in no way.
BUNDLES: dict[str, Hostile] = {f"a bundle {name}": Hostile("network", make) for name, make in {
    "of a function to import": _of(bundle_config({"_target_": "os.system", "command": "id"})),
    "of a class to import": _of(bundle_config({"_target_": "subprocess.Popen", "args": ["id"]})),
    "of MONAI's own parser": _of(bundle_config({"_target_": "monai.bundle.ConfigParser"})),
    "of no network of MONAI": _of(bundle_config({"_target_": "monai.networks.nets.NetAdapter"})),
    "of a name that goes on": _of(bundle_config({"_target_": "monai.networks.nets.unet.torch.hub.load"})),
    "of a network in another place": _of(bundle_config({"_target_": "monai.networks.nets.os.UNet.UNet"})),
    "of a network beside it": _scripts,
    "of a part to import": _of(_unet(act={"_target_": "os.system", "command": "id"})),
    "of an activation to import": _of(_unet(act=["os.system", {}])),
    "of a norm to import": _of(_unet(norm=["builtins.eval", {"source": "1"}])),
    "of weights to fetch": _of(bundle_config({"_target_": "FlexibleUNet", "in_channels": 1, "out_channels": 2,
                                        "backbone": "torch.hub.load", "pretrained": True})),
    "of an expression": _coded(bundle_config),
    "of an expression as an argument": _coded(lambda code: _unet(out_channels=code)),
    "of an expression behind a reference": _coded(lambda code: {**_unet(out_channels="@a"), "a": code}),
    "of an expression as a key": _coded(lambda code: _unet(**{code: 1})),
    "of expressions everywhere": _coded(lambda code: {
        **bundle_config(before=[{**_RANGE, "_target_": code, "a_max": code, "_requires_": code}]),
        **dict.fromkeys(("imports", "initialize", "run", "device", "inferer", "postprocessing"), code)}),
    "prepared by an expression": _coded(lambda code: bundle_config(before=code)),
    "prepared by a call": _coded(lambda code: bundle_config(before=[{"_target_": "Lambdad", "func": code}])),
    "prepared by many transforms": _of(bundle_config(before=[_RANGE] * 10_000)),
    "prepared by compositions in each other": _of(bundle_config(before=[_deep(18)])),
    "prepared by the largest numbers": _of(bundle_config(before=[{**_RANGE, "a_max": 10**400}])),
    "of references in a circle": _of({**bundle_config("@a"), "a": "@b", "b": ["@a"]}),
    "of a reference to itself": _of(bundle_config("@network_def")),
    "of references without end": _of(_references()),
    "of a reference far away": _of(bundle_config("@a::" + "::".join(["0"] * 10**5))),
    "of text of another file": _of(bundle_config("%/etc/passwd#a")),
    "of many channels": _of(_unet(channels=[60_000, 60_000])),
    "of channels past all memory": _of(_unet(channels=[2, 10**30])),
    "of many levels": _of(_unet(channels=[1] * 10**5, strides=[1] * 10**5)),
    "of many units": _of(_unet(num_res_units=60_000)),
    "of large kernels": _of(_unet(kernel_size=60_001)),
    "of many axes": _of(_unet(spatial_dims=60_000)),
    "of a number of 5000 digits": _of(_LARGE_NUMBER),
    "of lists in lists": _of("[" * 10**6),
    "of channels in channels": _of(_unet(channels=json.loads("[" * 500 + "]" * 500))),
    "of names without number": _of(metadata=_metadata(network_data_format={
        "inputs": {"image": {"channel_def": {str(n): "a" for n in range(50_000)}}}})),
    "of inputs without number": _of(metadata=_metadata(network_data_format={
        "inputs": {f"a{n}": {} for n in range(50_000)}})),
    "of sizes that are none": _of(_unet(depth=1), _metadata(network_data_format={
        "inputs": {"image": {"spatial_shape": [10**400] * 9**3, "num_channels": -1}}})),
    "in YAML that builds objects": _in_yaml(lambda place: _TAG.format(place.mark)),
    "in YAML that grows": _in_yaml(_bomb),
    "in YAML that lies in itself": _in_yaml(lambda _: "network_def: &a [*a]"),
    "in YAML of lists in lists": _in_yaml(lambda _: "network_def: " + "[" * 10**5),
    "with TorchScript": _scripted,
    "whose weights call": _calling,
    "of spread weights": _spread,
    "whose weights are a pointer": _pointer,
    "whose weights lie outside": _elsewhere(_WEIGHTS, _other),
    "chosen by its configuration": _by_configuration,
    "whose configuration lies outside": _elsewhere(_CONFIG, _other),
    "whose configuration is a device": _elsewhere(_CONFIG, lambda _: Path("/dev/zero")),
    "whose configuration is a pipe": _replaced(os.mkfifo, _CONFIG),
    "whose metadata are a pipe": _replaced(os.mkfifo, _METADATA),
    "whose weights are a pipe": _replaced(os.mkfifo, _WEIGHTS),
    "whose configuration is large": _replaced(lambda path: sparse(path, 10 * GIB, b"{"), _CONFIG),
    "whose weights are large": _replaced(lambda path: sparse(path, 10 * GIB, b"PK\3\4"), _WEIGHTS),
    "in a zip file that climbs": _climbing,
    "in a zip file that grows": _growing,
}.items()}  # fmt: skip
