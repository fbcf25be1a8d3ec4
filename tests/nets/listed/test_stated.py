"""Lists of operations as plain data: back as they were, and held against all that they claim."""

import copy
import json
import math

import pytest
import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.registry import build, names, signature
from napari_tileseg.nets.listed.listing import Listing, Named, Operation, Sizes
from napari_tileseg.nets.listed.stated import as_data, read_data

OPERATIONS = (
    Operation(
        "aten.conv2d.default",
        {"input": Named("x"), "weight": Named("w"), "bias": None, "stride": [1, 1], "padding": [1, 1]},
        ("y",),
    ),
    Operation("aten.split.Tensor", {"self": Named("y"), "split_size": 1, "dim": 1}, ("a", None, "b"), True),
    Operation("aten.cat.default", {"tensors": [Named("a"), Named("b")], "dim": 1}, ("c",)),
    Operation("aten.clamp.default", {"self": Named("c"), "min": -math.inf, "max": 0.5}, ("d",)),
    Operation("aten.to.dtype", {"self": Named("d"), "dtype": torch.float32}, ("e",)),
    Operation("aten.mul.Tensor", {"self": Named("e"), "other": Named("s")}, ("f",)),
)
LISTING = Listing(
    operations=OPERATIONS,
    weights={
        "conv.weight": torch.empty(3, 1, 3, 3, device="meta"),
        "scale": torch.empty(1, dtype=torch.float16, device="meta"),
    },
    sources={"conv.weight": "a", "scale": "b"},
    names={"w": "conv.weight", "s": "scale"},
    image="x",
    result="f",
    channels=1,
    sizes=Sizes((16, 24), least=(4, 4), multiple=(2, 2), most=(512, 256)),
    fixed=frozenset({"scale"}),
)
ARGUMENTS = {"graph": as_data(LISTING), "ndim": 2, "in_channels": 1, "out_channels": 2}


def test_what_is_stated_comes_back_through_json() -> None:
    data = as_data(LISTING)
    again = read_data(json.loads(json.dumps(data, allow_nan=False)), 1, "a file")
    assert as_data(again) == data
    assert (again.sizes, again.fixed, again.channels) == (LISTING.sizes, LISTING.fixed, 1)
    assert [each.function for each in again.operations] == [each.function for each in OPERATIONS]
    assert again.operations[3].arguments["min"] == -math.inf
    assert again.operations[4].arguments["dtype"] is torch.float32
    assert again.operations[1].results == ("2", None, "3")
    assert {path: tuple(each.shape) for path, each in again.weights.items()} == {
        "conv.weight": (3, 1, 3, 3),
        "scale": (1,),
    }


def test_names_that_a_file_happens_to_have_do_not_matter() -> None:
    other = {"x": "image", "y": "first", "a": "0", "b": "1", "c": "2", "d": "3", "e": "4", "f": "out"}

    def renamed(value):
        if isinstance(value, list):
            return [renamed(each) for each in value]
        return Named(other.get(value.name, value.name)) if isinstance(value, Named) else value

    operations = tuple(
        Operation(
            each.function,
            {name: renamed(value) for name, value in each.arguments.items()},
            tuple(other.get(name, name) for name in each.results),
            each.several,
        )
        for each in OPERATIONS
    )
    listing = copy.replace(LISTING) if hasattr(copy, "replace") else LISTING
    listing = Listing(operations, **{
        key: getattr(listing, key) for key in ("weights", "sources", "names", "channels", "sizes", "fixed")
    }, image="image", result="out")  # fmt: skip
    assert as_data(listing) == as_data(LISTING)


def test_it_is_an_architecture_that_a_description_builds_and_nobody_is_offered() -> None:
    module = build("graph", **ARGUMENTS)
    assert {name: tuple(each.shape) for name, each in module.named_parameters()} == {
        "conv.weight": (3, 1, 3, 3)
    }
    assert [name for name, _ in module.named_buffers()] == ["scale"]
    assert isinstance(module.conv, torch.nn.Conv2d)
    torch.nn.init.ones_(module.conv.weight)
    module.scale.fill_(2)
    image = torch.randn(2, 1, 16, 24)
    expected = torch.nn.functional.conv2d(image, torch.ones(2, 1, 3, 3), padding=1).clamp(max=0.5) * 2
    torch.testing.assert_close(module(image), expected)
    assert signature("graph", ARGUMENTS).out_channels == 2
    assert "graph" not in names()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.update(version=2), "a graph of version 2; this program reads version 1"),
        (lambda g: g.pop("version"), "a graph of version None"),
        (lambda g: g.pop("operations"), "KeyError: 'operations'"),
        (lambda g: g.update(operations={}), "TypeError: {} is no list"),
        (lambda g: g.update(operations=g["operations"] * 2000), "a list has 12000 entries, 10000 at most"),
        (lambda g: g["operations"][0].__setitem__(0, "os.system"), "os.system is not one of those"),
        (lambda g: g["operations"][0].__setitem__(0, "aten.empty.memory_format"), "not one of those"),
        (lambda g: g["operations"][0][1].update(input={"value": 9}), "takes 9, which is not computed before"),
        (lambda g: g["operations"][0][1].update(input={"weight": "none"}), "takes weight none"),
        (lambda g: g["operations"][0][1].update(input={"import": "os"}), "KeyError: 'import'"),
        (lambda g: g["operations"][0][1].update(stride=[[1]]), "is no argument"),
        (lambda g: g["operations"][0][1].update(stride=[10**30, 1]), "a stride that it cannot take"),
        (lambda g: g["operations"][0][1].update(groups=0), "cannot be carried out|does not take"),
        (lambda g: g["operations"][4][1].update(dtype={"dtype": "object"}), "KeyError: 'object'"),
        (lambda g: g["weights"][0].__setitem__(0, "a..b"), "it names weights"),
        (lambda g: g["weights"][0].__setitem__(0, "forward"), "it names weights"),
        (lambda g: g["weights"][0].__setitem__(2, [2**30, 2**30]), "has 1152921504606846976 numbers"),
        (lambda g: g["weights"][0].__setitem__(2, [3, 2, 3, 3]), "cannot be carried out on an image"),
        (lambda g: g["weights"][0].__setitem__(2, [-1]), "is no whole number"),
        (lambda g: g.update(fixed=["nothing"]), "it names weights"),
        (lambda g: g["sizes"].update(example=[]), "it takes images of"),
        (lambda g: g["sizes"].update(example=[16]), "on 2 axes|it takes images of"),
        (lambda g: g["sizes"].update(multiple=[0, 2]), "it takes images of"),
        (lambda g: g.update(result=1), "whose operations give"),
        (lambda g: g.update(result=77), "does not compute the output"),
        (lambda g: g.update(result=True), "is no whole number"),
    ],
)
def test_what_is_damaged_is_refused(change, words) -> None:
    arguments = copy.deepcopy(ARGUMENTS)
    change(arguments["graph"])
    with pytest.raises(NetworkError, match=words):
        build("graph", **arguments)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"out_channels": 3}, "3 channels out on 2 axes, whose operations give"),
        ({"ndim": 3}, "2 channels out on 3 axes"),
        ({"in_channels": 4}, "cannot be carried out"),
        ({"final_activation": "relu"}, "ends in sigmoid or softmax"),
        ({"graph": []}, "does not take"),
        ({"blocks": 2}, "no argument 'blocks'"),
    ],
)
def test_what_contradicts_its_operations_is_refused(said, words) -> None:
    with pytest.raises(NetworkError, match=words):
        build("graph", **(ARGUMENTS | said))
