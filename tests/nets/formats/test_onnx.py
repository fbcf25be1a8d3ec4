"""ONNX networks: operators against torch's own, real exports, sizes that are freed, and hostile files."""

import io
import struct
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import by_graph, open_network, renormalize, save_described
from napari_tileseg.nets.formats import candidate_of
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.packages.package import open_package

TYPES = {"float32": 1, "int64": 7}


def varint(value: int) -> bytes:
    value %= 2**64
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, content: bytes | str | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: Any, external: Mapping[str, str] | None = None) -> bytes:
    array = np.asarray(values)
    data = b"".join(field(1, size) for size in array.shape)
    data += field(2, TYPES[str(array.dtype)]) + field(8, name)
    if external is None:
        return data + field(9, array.tobytes())
    entries = (field(1, key) + field(2, value) for key, value in external.items())
    return data + b"".join(field(13, entry) for entry in entries) + field(14, 1)


def attribute(name: str, value: Any) -> bytes:
    data = field(1, name)
    if isinstance(value, int):
        return data + field(3, value) + field(20, 2)
    if isinstance(value, float):
        return data + varint(2 << 3 | 5) + struct.pack("<f", value) + field(20, 1)
    if isinstance(value, str):
        return data + field(4, value) + field(20, 3)
    if isinstance(value, bytes):
        return data + field(6, value) + field(20, 5)
    return data + b"".join(field(8, each) for each in value) + field(20, 7)


def node(operator: str, inputs: Sequence[str], output: str, /, domain: str = "", **attributes: Any) -> bytes:
    data = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator)
    return data + b"".join(field(5, attribute(*each)) for each in attributes.items()) + field(7, domain)


def value_info(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(field(1, field(1, n) if isinstance(n, int) else field(2, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, sizes)))


def model(
    nodes: Sequence[bytes],
    tensors: Sequence[bytes] = (),
    shape: Sequence[int | str] = (1, 2, "h", "w"),
    opset: int = 21,
    inputs: Sequence[str] = ("x",),
) -> bytes:
    graph = b"".join(field(1, each) for each in nodes) + field(2, "graph")
    graph += b"".join(field(5, each) for each in tensors)
    graph += b"".join(field(11, value_info(name, shape)) for name in inputs) + field(12, value_info("y", ()))
    return field(1, 9) + field(2, "test") + field(7, graph) + field(8, field(1, "") + field(2, opset))


def read(path: Path, data: bytes | None = None) -> Candidate:
    if data is not None:
        path.write_bytes(data)
    with open_package(path) as package:
        return candidate_of(package, Given())


def built(path: Path, data: bytes | None = None) -> Any:
    if data is not None:
        path.write_bytes(data)
    with open_package(path) as package:
        return candidate_of(package, Given()).build().eval()


RANDOM = np.random.default_rng(0)
W = RANDOM.normal(size=(4, 2, 3, 3)).astype("float32")
T = RANDOM.normal(size=(2, 3, 4, 4)).astype("float32")
C = RANDOM.normal(size=2).astype("float32")
V = np.abs(C) + 1
M = RANDOM.normal(size=(12, 5)).astype("float32")
w, t, c, v, m = (torch.from_numpy(each) for each in (W, T, C, V, M))


def ints(*values: int) -> Any:
    return np.asarray(values, dtype="int64")


def upsampled(mode: str, place: str, **more: Any) -> tuple[Any, ...]:
    attributes = {"mode": mode, "coordinate_transformation_mode": place, **more}
    return ("Resize", {"": None, "s": np.asarray([1, 1, 2, 2], "float32")}, attributes)


def deep(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)


#: operator, other inputs, attributes, and what torch has for it.
OPERATORS: list[tuple[str, Mapping[str, Any], Mapping[str, Any], Callable[[torch.Tensor], torch.Tensor]]] = [
    ("Conv", {"w": W}, {"pads": [1, 1, 1, 1]}, lambda x: F.conv2d(x, w, padding=1)),
    ("Conv", {"w": W}, {"pads": [0, 1, 2, 1]}, lambda x: F.conv2d(F.pad(x, (1, 1, 0, 2)), w)),
    ("Conv", {"w": W}, {"auto_pad": "SAME_UPPER"}, lambda x: F.conv2d(x, w, padding="same")),
    (
        "Conv",
        {"w": W},
        {"pads": [2, 2, 2, 2], "dilations": [2, 2]},
        lambda x: F.conv2d(x, w, padding=2, dilation=2),
    ),
    (
        "ConvTranspose",
        {"w": T},
        {"pads": [1, 1, 2, 2], "strides": [1, 1]},
        lambda x: F.conv_transpose2d(x, t)[:, :, 1:-2, 1:-2],
    ),
    ("MaxPool", {}, {"kernel_shape": [3, 3], "pads": [1] * 4}, lambda x: F.max_pool2d(x, 3, 1, 1)),
    (
        "AveragePool",
        {},
        {"kernel_shape": [3, 3], "pads": [1] * 4},
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    ),
    ("GlobalAveragePool", {}, {}, lambda x: x.mean((2, 3), keepdim=True)),
    ("GlobalMaxPool", {}, {}, lambda x: x.amax((2, 3), keepdim=True)),
    (
        "BatchNormalization",
        {"w": V, "b": C, "m": C, "v": V},
        {"epsilon": 0.5},
        lambda x: F.batch_norm(x, c, v, v, c, eps=0.5),
    ),
    (
        "InstanceNormalization",
        {"w": V, "b": C},
        {"epsilon": 0.5},
        lambda x: F.instance_norm(x, weight=v, bias=c, eps=0.5),
    ),
    ("GroupNormalization", {"w": V, "b": C}, {"num_groups": 1}, lambda x: F.group_norm(x, 1, v, c)),
    ("MatMul", {"m": M}, {}, lambda x: x @ m),
    ("LeakyRelu", {}, {"alpha": 0.3}, lambda x: F.leaky_relu(x, 0.3)),
    ("PRelu", {"s": C.reshape(2, 1, 1)}, {}, lambda x: F.prelu(x, c)),
    ("Elu", {}, {}, F.elu),
    ("HardSigmoid", {}, {}, lambda x: (0.2 * x + 0.5).clamp(0, 1)),
    ("HardSwish", {}, {}, F.hardswish),
    ("Gelu", {}, {"approximate": "tanh"}, lambda x: F.gelu(x, approximate="tanh")),
    ("Clip", {"low": np.float32(-0.5), "": None}, {}, lambda x: x.clamp(min=-0.5)),
    ("Softmax", {}, {"axis": 1}, lambda x: x.softmax(1)),
    ("Pow", {"e": np.float32(2)}, {}, lambda x: x**2),
    ("Div", {"d": V.reshape(2, 1, 1)}, {}, lambda x: x / v.view(2, 1, 1)),
    ("ReduceL2", {"a": ints(1)}, {}, lambda x: x.norm(dim=1, keepdim=True)),
    ("ReduceMean", {"a": ints(1)}, {"keepdims": 1}, lambda x: x.mean(1, keepdim=True)),
    (
        "Pad",
        {"p": ints(0, 0, 1, 0, 0, 0, 2, 3)},
        {"mode": "reflect"},
        lambda x: F.pad(x, (0, 3, 1, 2), "reflect"),
    ),
    ("Slice", {"s": ints(1), "e": ints(2**62), "a": ints(2)}, {}, lambda x: x[:, :, 1:]),
    ("Slice", {"s": ints(-1), "e": ints(-(2**63)), "a": ints(3), "i": ints(-1)}, {}, lambda x: x.flip(3)),
    ("Gather", {"i": ints(1, 0)}, {"axis": 1}, lambda x: x[:, [1, 0]]),
    ("Transpose", {}, {"perm": [0, 1, 3, 2]}, lambda x: x.transpose(2, 3)),
    ("SpaceToDepth", {}, {"blocksize": 2}, deep),
    (*upsampled("nearest", "asymmetric", nearest_mode="floor"), lambda x: F.interpolate(x, scale_factor=2)),
    (*upsampled("nearest", "half_pixel"), lambda x: F.interpolate(x, scale_factor=2)),
    (*upsampled("linear", "half_pixel"), lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    (*upsampled("cubic", "half_pixel"), lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
    (
        *upsampled("linear", "align_corners"),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "others", "attributes", "torchs"),
    OPERATORS,
    ids=[f"{at} {each[0]}" for at, each in enumerate(OPERATORS)],
)
def test_an_operator_is_that_of_torch(tmp_path, operator, others, attributes, torchs) -> None:
    tensors = [tensor(name, value) for name, value in others.items() if name]
    data = model([node(operator, ["x", *others], "y", **attributes)], tensors, (1, 2, 8, 12))
    image = torch.randn(1, 2, 8, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(built(tmp_path / "a.onnx", data)(image), torchs(image), rtol=1e-5, atol=1e-5)


def test_depth_to_space_brings_back_what_space_to_depth_took(tmp_path) -> None:
    nodes = [node("SpaceToDepth", ["x"], "a", blocksize=2), node("DepthToSpace", ["a"], "y", blocksize=2)]
    image = torch.randn(1, 2, 8, 12)
    assert torch.equal(built(tmp_path / "a.onnx", model(nodes))(image), image)


def test_up_to_opset_12_softmax_takes_all_axes_from_its_own_on(tmp_path) -> None:
    data = model([node("Softmax", ["x"], "y", axis=1)], opset=11)
    image = torch.randn(1, 2, 8, 12)
    expected = image.flatten(1).softmax(1).view_as(image)
    torch.testing.assert_close(built(tmp_path / "a.onnx", data)(image), expected)


def test_up_to_opset_20_group_norm_has_one_weight_a_group(tmp_path) -> None:
    tensors = [tensor("w", V), tensor("b", C)]
    data = model([node("GroupNormalization", ["x", "w", "b"], "y", num_groups=2)], tensors, (1, 4, 8, 8), 18)
    image = torch.randn(1, 4, 8, 8)
    expected = F.group_norm(image, 2, v.repeat_interleave(2), c.repeat_interleave(2))
    torch.testing.assert_close(built(tmp_path / "a.onnx", data)(image), expected)


def test_an_instance_norm_of_groups_is_a_group_norm(tmp_path) -> None:
    nodes = [
        node("Reshape", ["x", "in"], "a"),
        node("InstanceNormalization", ["a", "one", "zero"], "b"),
        node("Shape", ["x"], "shape"),
        node("Reshape", ["b", "shape"], "y"),
    ]
    ones, zeros = np.ones(2, "float32"), np.zeros(2, "float32")
    tensors = [tensor("in", ints(0, 2, -1)), tensor("one", ones), tensor("zero", zeros)]
    network = built(tmp_path / "a.onnx", model(nodes, tensors, (1, 4, "h", "w")))
    assert [type(each) for each in network.modules() if "Norm" in type(each).__name__] == [nn.GroupNorm]
    image = torch.randn(1, 4, 6, 10)
    torch.testing.assert_close(network(image), F.group_norm(image, 2))


class Net(nn.Module):
    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), norm(8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), norm(8), nn.LeakyReLU(0.1), nn.Dropout())
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.down(x)
        z = F.interpolate(self.deep(F.max_pool2d(y, 2)), size=y.shape[2:], mode="bilinear")
        return self.head(torch.cat([y, z], 1))


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": lambda count: nn.InstanceNorm2d(count, affine=True),
    "group": lambda count: nn.GroupNorm(4, count),
}


def made(norm: str) -> nn.Module:
    torch.manual_seed(0)
    net = Net(NORMS[norm])
    for weight in net.parameters():
        nn.init.normal_(weight, 0.1, 0.3)
    for name, value in net.named_buffers():
        if "running" in name:
            value.copy_(torch.rand(value.shape) + 0.5)
    return net.eval()


def export(net: nn.Module, path: Path, opset: int, *, free: bool, traced: bool) -> None:
    example = (torch.zeros(1, 1, 16, 24),)
    with warnings.catch_warnings():
        # torch's exporter, and the packages that it calls, warn of themselves.
        warnings.simplefilter("ignore")
        if traced:
            axes = {"x": {2: "h", 3: "w"}} if free else None
            torch.onnx.export(
                net, example, path, opset_version=opset, dynamo=False, input_names=["x"], dynamic_axes=axes
            )
        else:
            sizes = ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},) if free else None
            torch.onnx.export(
                net, example, path, opset_version=opset, dynamo=True, dynamic_shapes=sizes, verbose=False
            )


@pytest.mark.parametrize("norm", NORMS)
def test_a_traced_network_is_the_module_that_it_was(tmp_path, norm) -> None:
    pytest.importorskip("onnx")
    export(made(norm), tmp_path / "a.onnx", 17, free=True, traced=True)
    image = torch.randn(1, 1, 20, 32)
    torch.testing.assert_close(built(tmp_path / "a.onnx")(image), made(norm)(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("opset", "free"), [(18, True), (20, False), (21, True), (23, True), (23, False)])
@pytest.mark.parametrize("norm", NORMS)
def test_an_export_is_the_module_and_what_onnxruntime_makes_of_it(tmp_path, norm, opset, free) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "a.onnx"
    export(made(norm), path, opset, free=free, traced=False)
    image = torch.randn(1, 1, 16, 24)
    session = onnxruntime.InferenceSession(path)
    (theirs,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    ours = built(path)(image)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours, made(norm)(image), rtol=0, atol=1e-5)


def test_sizes_that_the_graph_computes_follow_the_image(tmp_path) -> None:
    tensors = [
        *(tensor(f"i{at}", ints(at)) for at in range(3)),
        tensor("end", ints(4)),
        tensor("none", np.zeros(0, "float32")),
        tensor("two", np.asarray(2, "int64")),
    ]
    nodes = [
        node("AveragePool", ["x"], "a", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["x"], "all"),
        node("Slice", ["all", "i2", "end", "i0"], "space"),
        node("Shape", ["a"], "of a"),
        node("Slice", ["of a", "i0", "i2", "i0"], "batch"),
        node("Concat", ["batch", "space"], "sizes", axis=0),
        node("Resize", ["a", "", "", "sizes"], "b", mode="linear"),
        node("Gather", ["all", "i2"], "rows", axis=0),
        node("Div", ["rows", "two"], "half"),
        node("Mul", ["half", "two"], "even"),
        node("Slice", ["b", "i0", "even", "i2"], "c"),
        node("Concat", ["x", "c"], "y", axis=1),
    ]
    network = built(tmp_path / "a.onnx", model(nodes, tensors, opset=20))
    image = torch.randn(1, 2, 12, 20)
    large = F.interpolate(F.avg_pool2d(image, 2), size=(12, 20), mode="bilinear")
    torch.testing.assert_close(network(image), torch.cat([image, large], 1))


def test_a_stated_size_is_freed_and_said(tmp_path) -> None:
    tensors = [tensor("w", W[:2]), tensor("s", np.asarray([1, 1, 2, 2], "float32"))]
    nodes = [
        node("MaxPool", ["x"], "a", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["a", "w"], "b", pads=[1, 1, 1, 1]),
        node("Resize", ["b", "", "s"], "c", mode="nearest"),
        node("Add", ["x", "c"], "y"),
    ]
    (tmp_path / "net.onnx").write_bytes(model(nodes, tensors, (1, 2, 64, 64)))
    network = open_network(tmp_path / "net.onnx")
    assert network.spec.architecture == "ONNX"
    assert (network.spec.axes, network.spec.in_channels, network.spec.out_channels) == ("yx", 2, 2)
    assert network.spec.geometry.read.step == network.spec.geometry.stride == (2, 2)
    assert network.spec.seam_free
    assert any("states images of 64 x 64 voxels" in note for note in network.spec.notes)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Reshape", ["x", "s"], "a"), node("Relu", ["a"], "b"), node("Reshape", ["b", "s"], "y")],
        [
            node("AveragePool", ["x"], "a", kernel_shape=[16, 16], strides=[16, 16]),
            node("Mul", ["x", "a"], "y"),
        ],
    ],
    ids=["a shape of numbers", "a window of the whole image"],
)
def test_a_size_that_the_graph_is_bound_to_stays(tmp_path, nodes) -> None:
    network = built(tmp_path / "a.onnx", model(nodes, [tensor("s", ints(1, 2, 16, 16))], (1, 2, 16, 16)))
    network(torch.zeros(1, 2, 16, 16))
    with pytest.raises(ValueError, match="16 x 16 voxels alone"):
        network(torch.zeros(1, 2, 24, 24))


def outside(**places: str) -> bytes:
    return model([node("Conv", ["x", "w"], "y")], [tensor("w", W, places)])


def test_weights_beside_it_are_read_and_count(tmp_path) -> None:
    numbers = b"12345678" + W.tobytes()
    places = {"location": "a.onnx.data", "offset": "8", "length": str(W.nbytes)}
    (tmp_path / "a.onnx.data").write_bytes(numbers)
    image = torch.randn(1, 2, 8, 8)
    network = built(tmp_path / "a.onnx", outside(**places))
    torch.testing.assert_close(network(image), F.conv2d(image, w))
    assert read(tmp_path / "a.onnx").members == ("", "a.onnx.data")


def test_a_package_with_it_reproduces_its_own_test(data_dir: Path) -> None:
    folder = data_dir / "networks" / "unet2d_nuclei_broad"
    network = open_network(folder)
    assert network.spec.architecture == "ONNX"
    assert network.spec.geometry.read.step == (8, 8)
    assert network.spec.self_test is not None
    assert network.spec.self_test.difference < 1e-4


W_NODE = node("Conv", ["x", "w"], "y")
EXTERNAL = {"location": "a.onnx.data", "offset": "0", "length": str(W.nbytes)}
LOOP = node("Loop", ["x"], "y", body=b"")
HOSTILE: dict[str, tuple[bytes, str]] = {
    "weights that are missing": (outside(location="none.data"), "not beside it; copy both"),
    "weights above its folder": (outside(**{**EXTERNAL, "location": "../secret"}), "path in the package"),
    "weights at an absolute path": (outside(location="/etc/passwd"), "path in the package"),
    "weights behind a link": (outside(**{**EXTERNAL, "location": "link"}), "not beside it|leads out"),
    "weights from before the file": (outside(**{**EXTERNAL, "offset": "-8"}), "bytes from byte -8"),
    "weights past the file": (outside(**{**EXTERNAL, "offset": "64"}), "bytes from byte 64"),
    "weights of another length": (outside(**{**EXTERNAL, "length": "8"}), "should be"),
    "a shape that lies": (
        model([W_NODE], [tensor("w", W).replace(field(1, 4), field(1, 2**30), 1)]),
        "does not have as many bytes",
    ),
    "an absurd image": (model([node("Relu", ["x"], "y")], shape=(1, 2, 2**40, 2**40)), "states an input"),
    "an absurd constant": (
        model([node("ConstantOfShape", ["s"], "y")], [tensor("s", ints(2**20, 2**20, 2**20, 4))]),
        "fit its input|fit it",
    ),
    "an absurd repetition": (
        model([node("Tile", ["x", "s"], "y")], [tensor("s", ints(1, 1, 2**15, 2**15))]),
        "fit its input",
    ),
    "many operators": (model([node("Relu", ["x"], "y")] * 100_000), "more than 10000 operators"),
    "a loop": (model([LOOP]), "operator Loop with a graph of its own"),
    "an operator of somebody's": (model([node("Fancy", ["x"], "y", "my.domain")]), r"my\.domain\.Fancy"),
    "an operator that is not known": (model([node("Einsum", ["x"], "y")]), "Einsum is not carried out here"),
    "a value of the future": (model([node("Relu", ["z"], "y")]), "z, which is not computed before it"),
    "operators of tomorrow": (model([node("Relu", ["x"], "y")], opset=99), "version 99 of ONNX's operators"),
    "a mode that torch has not": (
        model([node("Resize", ["x", "", "s"], "y", coordinate_transformation_mode="tf_crop_and_resize")],
              [tensor("s", np.ones(4, "float32"))]),
        "tf_crop_and_resize",
    ),
    "training": (
        model([node("BatchNormalization", ["x", *"wbmv"], "y", training_mode=1)],
              [tensor(name, V) for name in "wbmv"]),
        r"in training mode; export it again, after network\.eval\(\)",
    ),
    "two inputs": (model([node("Add", ["x", "z"], "y")], inputs=("x", "z")), "of 2 inputs and 1 outputs"),
}  # fmt: skip


def test_it_is_kept_by_its_graph_and_its_layers_learn(tmp_path) -> None:
    layers = [
        node("Conv", ["x", "w"], "of w", pads=[1, 1, 1, 1]),
        node("InstanceNormalization", ["of w", "scale", "shift"], "normal"),
        node("Relu", ["normal"], "y"),
    ]
    ones = np.ones(4, "float32")
    data = model(layers, [tensor("w", W), tensor("scale", ones), tensor("shift", 0 * ones)])
    (tmp_path / "net.onnx").write_bytes(data)
    network = open_network(tmp_path / "net.onnx")
    converted, paths = renormalize(by_graph(network).module)
    assert len(paths) == 1
    assert len([*converted.parameters()]) == 3
    kept = by_graph(network)
    again = open_network(save_described(kept.module, kept.description, tmp_path / "kept.safetensors"))
    image = torch.randn(1, 2, 16, 24)
    torch.testing.assert_close(again.module(image), network.module(image), rtol=0, atol=0)
    assert (again.spec.seam_free, again.spec.norm_counts) == (False, {"instance": 1})


@pytest.mark.parametrize(("data", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_before_anything_is_made_of_it(tmp_path, data, words) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(W.tobytes())
    (folder / "a.onnx.data").write_bytes(W.tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    begun = time.process_time()
    with pytest.raises(NetworkError, match=f"(?s){words}"):
        read(folder / "a.onnx", data)
    assert time.process_time() - begun < 5


def test_a_file_that_is_cut_off_is_an_error_wherever(tmp_path) -> None:
    data = model([W_NODE], [tensor("w", W)])
    for end in range(1, len(data), 37):
        with pytest.raises(NetworkError):
            read(tmp_path / "a.onnx", data[:end])


def test_weights_in_a_zip_file_may_not_grow(tmp_path) -> None:
    parts = [tensor(f"w{at}", W, {**EXTERNAL, "location": f"{at}.data"}) for at in range(3)]
    rdf = (
        "format_version: 0.4.10\ntype: model\nname: a\n"
        "inputs: [{name: x, axes: bcyx, shape: {min: [1, 2, 8, 8], step: [0, 0, 1, 1]}}]\n"
        "outputs: [{name: y, axes: bcyx, shape: "
        "{reference_tensor: x, scale: [1, 1, 1, 1], offset: [0, 0, 0, 0]}}]\n"
        "weights: {onnx: {source: a.onnx}}\n"
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rdf.yaml", rdf)
        archive.writestr("a.onnx", model([W_NODE], parts))
        for at in range(3):
            archive.writestr(f"{at}.data", bytes(2**26 - 1))
    (tmp_path / "a.zip").write_bytes(file.getvalue())
    with pytest.raises(NetworkError, match="in more files, or larger ones, than a network has"):
        open_network(tmp_path / "a.zip")
