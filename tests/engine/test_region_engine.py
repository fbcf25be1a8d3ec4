"""The region engine in use: known networks, fall-backs, faults, memory."""

import copy
import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_tileseg.engine import PlainEngine, RegionEngine, open_engine, route_of
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE
from napari_tileseg.engine.regions.cores.cost import cost_of
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.engine.regions.program.sweep import sweep
from napari_tileseg.errors import DeviceError
from napari_tileseg.graphs.operations.windows import Convolution
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.architectures.ensembles import Mirrored, geometry_in
from napari_tileseg.nets.geometry import measure
from napari_tileseg.nets.spec import Geometry, NetworkSpec
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.tiling.read_shape import ReadShape

pytestmark = pytest.mark.usefixtures("one_thread")


class Prepared:
    """A prepared image in memory, which remembers what was read."""

    def __init__(self, voxels):
        self._voxels = voxels
        self.padded_shape = voxels.shape[1:]
        self.reads = []

    def read(self, box):
        self.reads.append(box)
        return self._voxels[(slice(None), *box.slices)]


class Net:
    """An opened network around a module."""

    def __init__(self, module, geometry, activation="sigmoid", out_channels=2):
        self.module = module.eval()
        for weight in module.parameters():
            weight.requires_grad_(False)
        ndim = len(geometry.stride)
        self.spec = NetworkSpec(
            name="little",
            architecture="test",
            axes="zyx"[3 - ndim :],
            in_channels=1,
            out_channels=out_channels,
            classes=("a", "b")[:out_channels],
            activation=activation,
            norm_counts={},
            geometry=geometry,
            default_halo=geometry.halo or ((8, 8),) * ndim,
            seam_free=geometry.halo is not None and geometry.shift_equivariant,
            reason="",
            parameters=1,
        )


def spread_weights(module):
    """Let every tap count, and give statistics that are not the default."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                noise = torch.rand(value.shape, generator=random)
                fan = value.shape[1:].numel() if value.ndim > 1 else 1
                value.copy_(noise + 0.5 if "var" in name else (noise - 0.2) * 3 / fan)
    return module


def built(name, **arguments):
    torch.manual_seed(0)
    return spread_weights(registry.build(name, **arguments))


def fixed_geometry(step, halo, ndim=2):
    shape = (step,) * ndim
    pairs = None if halo is None else ((halo, halo),) * ndim
    return Geometry(stride=shape, read=ReadShape(minimum=shape, step=shape), halo=pairs, receptive_field=None)


@cache
def little_unet():
    """Give the module of a U-Net, and its measured geometry."""
    module = built("unet", ndim=2, features=(2, 3, 4), norm="batch")
    return module, measure(module, 2, 1).geometry


def net(**how):
    module, geometry = little_unet()
    return Net(module, geometry, **how)


IMAGE = Prepared(np.random.default_rng(0).normal(size=(1, 96, 88)).astype("f4"))
GRID = TileGrid((96, 88), (32, 28), ((22, 22), (22, 22)), (4, 4))
TILES = list(GRID)


def whole(network, voxels, dtype=torch.float64):
    with torch.no_grad():
        module = copy.deepcopy(network.module).to(dtype)
        output = module(torch.from_numpy(voxels).to(dtype)[None])
        return {"sigmoid": torch.sigmoid, "none": lambda x: x}[network.spec.activation](output)[0].numpy()


def assert_whole(engine, network, tiles=TILES, image=IMAGE, atol=1e-6):
    expected = whole(network, image.read(Box.of_shape(image.padded_shape)))
    for tile, core in zip(tiles, engine.compute(image, tiles), strict=True):
        np.testing.assert_allclose(core, expected[(slice(None), *tile.core.slices)], atol=atol)


def test_mirrored_copies_are_computed_region_by_region():
    module, geometry = little_unet()
    copies = Mirrored(module, (0, 1))
    network = Net(copies, geometry_in(copies, geometry))
    engine = open_engine(network, "cpu", "float64")
    assert isinstance(engine, RegionEngine)
    assert_whole(engine, network)


MONAI = {
    **{
        f"{name}-{up}": (
            name,
            {"spatial_dims": 2, "features": (2,) * 6, "norm": "batch", "upsample": up},
            16,
        )
        for name in ("basic_unet", "basic_unet_plus_plus")
        for up in ("deconv", "pixelshuffle", "nontrainable")
    },
    **{
        f"segresnet-{up}": (
            "segresnet",
            {
                "spatial_dims": 3,
                "init_filters": 2,
                "blocks_down": (1, 1),
                "blocks_up": (1,),
                "norm": "batch",
                "upsample_mode": up,
            },
            2,
        )
        for up in ("deconv", "pixelshuffle", "nontrainable")
    },
    "unet": (
        "monai_unet",
        {"spatial_dims": 3, "channels": (2, 3, 4), "strides": (2, 2), "num_res_units": 2, "norm": "batch"},
        4,
    ),
    "dynunet": (
        "dynunet",
        {
            "spatial_dims": 3,
            "kernel_size": (3, 3, 3),
            "strides": (1, 2, 2),
            "upsample_kernel_size": (2, 2),
            "filters": (2, 3, 4),
            "norm": "batch",
            "deep_supervision": False,
        },
        4,
    ),
    "batch_renorm": ("unet", {"ndim": 3, "features": (2, 3, 4), "norm": "batch_renorm"}, 4),
}


@pytest.mark.parametrize("case", MONAI)
def test_known_networks_equal_the_whole_image(case):
    name, arguments, step = MONAI[case]
    arguments = {"in_channels": 1, "out_channels": 2, **arguments}
    module = built(name, **arguments)
    ndim = arguments.get("spatial_dims", 3)
    network = Net(module, fixed_geometry(step, 8, ndim))
    program = Program(PROCESS_CACHE.graph_of(network), module, "cpu", torch.float64)
    shape = tuple(step * n for n in (4, 3, 2)[:ndim])
    values = torch.rand(1, 1, *shape, dtype=torch.float64)
    with torch.inference_mode():
        expected = copy.deepcopy(module).double()(values)
        for start in (0, shape[0] // 2, shape[0] - 3):
            box = Box((start, *(n // 3 for n in shape[1:])), (start + 3, *(n // 3 + 5 for n in shape[1:])))
            box = box.clip(Box.of_shape(shape))
            schedule = program.schedule(shape, box)
            result = program.run(values[(slice(None), slice(None), *schedule.read.slices)].clone(), schedule)
            error = (result - expected[(slice(None), slice(None), *box.slices)]).abs().max()
            assert error <= 1e-10 * max(1.0, float(expected.abs().max()))


def test_cores_equal_the_whole_image_and_only_what_they_need_is_read():
    image, network = Prepared(IMAGE.read(Box.of_shape((96, 88)))), net()
    engine = open_engine(network, "cpu")
    assert isinstance(engine, RegionEngine)
    assert_whole(engine, network, image=image)
    assert engine.route.kind == "regions"
    assert engine.take_notes() == ()
    reads = image.reads[1:]
    assert [engine.read_of(image.padded_shape, tile) for tile in TILES] == reads
    halo = network.spec.default_halo
    for tile, read in zip(TILES, reads, strict=True):
        assert tile.core.grow(halo).clip(Box.of_shape((96, 88))).contains(read)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unet", {"ndim": 2, "features": (2, 2, 2), "norm": "batch", "upsampling": "linear"}),
        ("unet", {"ndim": 2, "features": (2, 2, 2), "norm": "batch"}),
        (
            "segresnet",
            {"spatial_dims": 2, "init_filters": 2, "blocks_down": (1, 1), "blocks_up": (1,), "norm": "batch"},
        ),
    ],
)
def test_rules_and_measured_halo_agree(name, arguments):
    module = built(name, **arguments)
    geometry = measure(module, 2, 1).geometry
    network = Net(module, geometry)
    program = Program(PROCESS_CACHE.graph_of(network), module, "cpu", torch.float32)
    (step, _), wide = geometry.stride, 240
    needs = []
    for length in (step, 2 * step, 3 * step):
        start = wide // 2 // step * step
        read = program.schedule((wide, wide), Box((start, start), (start + length, start + length))).read
        needs.append([(start - a, b - start - length) for a, b in zip(read.start, read.stop, strict=True)])
    assert tuple(
        tuple(max(side) for side in zip(*axis, strict=True)) for axis in zip(*needs, strict=True)
    ) == (geometry.halo)


class FirstChannel(nn.Module):
    """Gives a view of what it was given."""

    def forward(self, x):
        return x.narrow(1, 0, 1)


@pytest.mark.parametrize(
    "module",
    [
        FirstChannel(),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 1, 3, padding=1)),
    ],
)
@pytest.mark.parametrize("start", [0, 8])
def test_an_image_is_not_written_to_and_shares_no_memory_with_the_result(module, start):
    network = Net(module, fixed_geometry(1, 1), activation="none", out_channels=1)
    voxels = np.random.default_rng(2).normal(size=(1, 40, 36)).astype("f4")
    given = voxels.copy()
    tile = next(iter(TileGrid((40, 36), (40, 36), ((1, 1), (1, 1)), (1, 1))))
    tile = replace(tile, core=Box((start, start), (40, 36)))
    engine = open_engine(network, "cpu")
    (core,) = engine.compute(Prepared(given), [tile])
    assert engine.route.kind == "regions"
    np.testing.assert_allclose(core, whole(network, voxels)[:, start:, start:], atol=1e-6)
    core[:] = np.nan
    assert np.array_equal(given, voxels)


@pytest.mark.parametrize("batch", [1, 3])
def test_leading_axes_go_to_the_batch(batch):
    network, voxels = net(), np.random.default_rng(1).normal(size=(1, 3, 2, 64, 32)).astype("f4")
    grid = TileGrid((3, 2, 64, 32), (2, 1, 32, 32), ((0, 0),) * 2 + ((22, 22),) * 2, (1, 1, 4, 4))
    cores = open_engine(network, "cpu", batch=batch).compute(Prepared(voxels), list(grid))
    for tile, core in zip(grid, cores, strict=True):
        assert core.shape == (2, *tile.core.shape)
        for t in range(tile.core.shape[0]):
            frame = voxels[:, tile.core.start[0] + t, tile.core.start[1]]
            expected = whole(network, frame)[(slice(None), *tile.core.slices[2:])]
            np.testing.assert_allclose(core[:, t, 0], expected, atol=1e-6)


def test_float64_is_computed_in_float64():
    network = net(activation="none")
    engine = open_engine(network, "cpu", "float64")
    assert engine.compute(IMAGE, TILES[:1])[0].dtype == np.float64
    assert_whole(engine, network, atol=1e-12)
    assert next(network.module.parameters()).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_reduced_precision_is_close(dtype):
    network = net()
    engine = open_engine(network, "cpu", dtype)
    engine.verify(IMAGE, TILES[4])
    assert engine.take_notes() == ()
    expected = whole(network, IMAGE.read(Box.of_shape((96, 88))))
    cores = engine.compute(IMAGE, TILES)
    errors = [
        np.abs(a - expected[(slice(None), *tile.core.slices)]).max()
        for a, tile in zip(cores, TILES, strict=True)
    ]
    assert 0 < max(errors) < 0.03
    assert cores[0].dtype == np.float32


def test_reduced_precision_that_goes_wrong_falls_back(monkeypatch):
    network, run = net(), Program.run

    def wrong(self, image, schedule):
        return run(self, image, schedule) + (0 if image.dtype == torch.float32 else 50.0)

    engine = open_engine(network, "cpu", "bfloat16")
    monkeypatch.setattr(Program, "run", wrong)
    engine.verify(IMAGE, TILES[4])
    assert "bfloat16 went wrong" in engine.take_notes()[0]
    assert engine.dtype == "float32"
    assert_whole(engine, network)


def test_a_read_that_leaves_something_out_is_taken_at_its_word():
    """A halo that is too small shows, as it does where tiles are computed whole."""
    network = net()
    tiles = list(TileGrid((96, 88), (32, 28), ((4, 4), (4, 4)), (4, 4)))
    plain = PlainEngine(network, "cpu", "float32", 1).compute(IMAGE, tiles)
    for one, other in zip(open_engine(network, "cpu").compute(IMAGE, tiles), plain, strict=True):
        np.testing.assert_array_equal(one, other)


class Branches(nn.Module):
    """A network that does something else to large images."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        return self.inner(x) * (2 if x.shape[2] > 70 else 1)


def scripted():
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
    return torch.jit.script(module.eval())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: built(
                "attention_unet", spatial_dims=2, in_channels=1, out_channels=2, channels=(2, 4), strides=(2,)
            ),
            "instance_norm uses the mean and spread",
        ),
        (
            lambda: built(
                "unetr",
                image_size=(16, 16),
                patch=4,
                hidden=12,
                heads=3,
                layers=3,
                mlp=8,
                features=2,
                out_channels=2,
            ),
            "export",
        ),
        (lambda: built("unet", ndim=2, features=(2, 3), norm="instance"), "instance_norm"),
        (scripted, "TorchScript"),
        (Branches, "other sizes"),
    ],
    ids=["attention", "unetr", "instance", "torchscript", "branches"],
)
def test_what_has_no_rule_is_computed_whole_and_says_why(make, why):
    network = Net(make(), fixed_geometry(16, None))
    voxels = np.random.default_rng(2).normal(size=(1, 48, 32)).astype("f4")
    tiles = list(TileGrid((48, 32), (16, 16), ((0, 0), (0, 0)), (16, 16)))
    engine = open_engine(network, "cpu")
    assert isinstance(engine, PlainEngine)
    assert route_of(network) == engine.route
    assert engine.route.kind == "plain"
    assert why in engine.route.reason
    plain = PlainEngine(network, "cpu", "float32", 1).compute(Prepared(voxels), tiles)
    for one, other in zip(engine.compute(Prepared(voxels), tiles), plain, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("where", ["interior", "border"])
def test_a_fault_in_a_rule_is_caught_in_use(where, monkeypatch):
    module, geometry = little_unet()
    network = Net(copy.deepcopy(module), geometry)
    assert route_of(network).kind == "regions"
    run = Convolution.run

    def faulty(self, values, weights, place, *, reuse):
        at_border = any(any(pads) for pads in place)
        factor = 1.01 if at_border == (where == "border") else 1
        return run(self, values, weights, place, reuse=reuse) * factor

    monkeypatch.setattr(Convolution, "run", faulty)
    engine = open_engine(network, "cpu")
    assert_whole(engine, network)
    assert f"one {where} region" in engine.take_notes()[0]
    assert engine.route.kind == "plain"
    assert where in route_of(network).reason
    assert isinstance(open_engine(network, "cpu"), PlainEngine)


def test_without_the_fault_nothing_is_told():
    module, geometry = little_unet()
    network = Net(copy.deepcopy(module), geometry)
    engine = open_engine(network, "cpu")
    assert_whole(engine, network)
    assert engine.take_notes() == ()
    assert engine.route.kind == "regions"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
@pytest.mark.parametrize("most", [800, 100])
def test_memory_that_runs_out_changes_nothing_in_the_result(error, most, monkeypatch):
    network, run, seen = net(), Program.run, []
    engine = open_engine(network, "cpu", batch=2)
    engine.compute(IMAGE, TILES[:1])

    def limited(self, image, schedule):
        size = schedule.steps[-1].box.size
        seen.append(size)
        if size > most:
            raise error("CUDA out of memory. Tried to allocate")
        return run(self, image, schedule)

    monkeypatch.setattr(Program, "run", limited)
    assert_whole(engine, network, TILES[:3])
    assert any("Memory of cpu ran out" in note for note in engine.take_notes())
    seen.clear()
    engine.compute(IMAGE, TILES[:2])
    assert max(seen) <= most, "what did not fit is not tried again"


def test_no_memory_at_all_is_an_error(monkeypatch):
    network = net()
    engine = open_engine(network, "cpu")
    engine.compute(IMAGE, TILES[:1])

    def none(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Program, "run", none)
    with pytest.raises(DeviceError, match="too little memory for little on a core of"):
        engine.compute(IMAGE, TILES[:1])


def test_weights_that_changed_count_from_the_next_engine_on():
    module, geometry = little_unet()
    network = Net(copy.deepcopy(module), geometry)
    (before,) = open_engine(network, "cpu").compute(IMAGE, TILES[:1])
    with torch.no_grad():
        network.module.output.bias += 1
    engine = open_engine(network, "cpu")
    assert_whole(engine, network)
    assert np.abs(engine.compute(IMAGE, TILES[:1])[0] - before).max() > 0.01


def test_aligned_corners_are_exact_region_by_region():
    """A plain tile cannot be: what it interpolates depends on where in the image it lies."""
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.Conv2d(2, 2, 3, padding=1),
    )
    network = Net(spread_weights(module), fixed_geometry(2, 8), activation="none")
    network.spec = replace(network.spec, seam_free=False)
    tiles = list(TileGrid((96, 88), (16, 22), ((8, 8), (8, 8)), (2, 2)))
    assert_whole(open_engine(network, "cpu", "float64"), network, tiles, atol=1e-10)


@pytest.mark.parametrize("planes", [1, 8, 200])
def test_a_sweep_equals_the_whole_image_and_reads_each_voxel_once(planes):
    network = net()
    engine = open_engine(network, "cpu")
    image = Prepared(IMAGE.read(Box.of_shape((96, 88))))
    expected = whole(network, IMAGE.read(Box.of_shape((96, 88))))
    assert engine.sweeps((96, 88))
    row = 20
    for part, values in engine.sweep(image, Box((20, 12), (90, 88)), planes):
        assert part.start == (row, 12)
        np.testing.assert_allclose(values, expected[(slice(None), *part.slices)], atol=1e-6)
        row = part.stop[0]
    assert row == 90
    assert all(one.stop[0] == other.start[0] for one, other in itertools.pairwise(image.reads))
    assert max(read.shape[0] for read in image.reads) <= planes


def test_a_sweep_goes_through_leading_axes():
    network, voxels = net(), np.random.default_rng(1).normal(size=(1, 2, 3, 48, 32)).astype("f4")
    result = np.full((2, 2, 3, 48, 32), np.nan)
    for part, values in open_engine(network, "cpu").sweep(Prepared(voxels), Box.of_shape((2, 3, 48, 32)), 16):
        result[(slice(None), *part.slices)] = values
    for t in range(2):
        for z in range(3):
            np.testing.assert_allclose(result[:, t, z], whole(network, voxels[:, t, z]), atol=1e-6)


def test_a_sweep_that_runs_out_of_memory_goes_on_in_thinner_slabs(monkeypatch):
    network, run = net(), Program.run_one
    engine = open_engine(network, "cpu")
    assert engine.sweeps((96, 88))

    def limited(self, number, values, place):
        if values[0].shape[2] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, number, values, place)

    monkeypatch.setattr(Program, "run_one", limited)
    result = np.full((2, 96, 88), np.nan)
    for part, values in engine.sweep(IMAGE, Box.of_shape((96, 88)), 64):
        result[(slice(None), *part.slices)] = values
    np.testing.assert_allclose(result, whole(network, IMAGE.read(Box.of_shape((96, 88)))), atol=1e-6)
    assert "slabs of 16 planes" in engine.take_notes()[-1]


@pytest.mark.parametrize("name", ["basic_unet-nontrainable", "segresnet-pixelshuffle", "dynunet"])
def test_a_sweep_computes_no_plane_twice(name):
    """Its convolutions cost what one pass over the whole image costs."""
    architecture, arguments, step = MONAI[name]
    module = built(architecture, **{"in_channels": 1, "out_channels": 2, **arguments})
    ndim = arguments["spatial_dims"]
    program = Program(
        PROCESS_CACHE.graph_of(Net(module, fixed_geometry(step, 8, ndim))), module, "cpu", torch.float64
    )
    shape = (6 * step, *(2 * step,) * (ndim - 1))
    values = torch.rand(1, 1, *shape, dtype=torch.float64)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        parts = list(
            sweep(
                program,
                shape,
                Box.of_shape(shape),
                step,
                lambda box: values[(slice(None), slice(None), *box.slices)].clone(),
            )
        )
    with torch.inference_mode(), FlopCounterMode(display=False) as once:
        expected = copy.deepcopy(module).double()(values)
    result = torch.cat([part for _, part in parts], dim=2)
    assert float((result - expected).abs().max()) <= 1e-10 * max(1.0, float(expected.abs().max()))
    assert counter.get_total_flops() == once.get_total_flops()


def test_counted_operations_are_those_of_the_run():
    module, geometry = little_unet()
    program = Program(PROCESS_CACHE.graph_of(Net(module, geometry)), module, "cpu", torch.float32)
    for box in (Box((40, 40), (56, 60)), Box((0, 0), (8, 8)), Box.of_shape((96, 88))):
        cost, schedule = cost_of(program, (96, 88), box), program.schedule((96, 88), box)
        part = torch.rand(1, 1, *schedule.read.shape)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            program.run(part, schedule)
        assert cost.flops == counter.get_total_flops()
        assert cost.read == schedule.read


def test_predicted_memory_is_about_what_the_run_takes():
    module, geometry = built("unet", ndim=2, features=(8, 16), norm="batch"), fixed_geometry(2, 12)
    program = Program(
        PROCESS_CACHE.graph_of(Net(module, geometry)), module, "cpu", torch.float32, channels_last=True
    )
    box = Box((100, 100), (356, 356))
    schedule = program.schedule((512, 512), box)
    part = torch.rand(1, 1, *schedule.read.shape)
    with torch.inference_mode():
        program.run(part, schedule)
        with torch.profiler.profile(profile_memory=True) as profile:
            program.run(part, schedule)
    held, most = 0, 0
    events = [each for each in profile.profiler.kineto_results.events() if each.name() == "[memory]"]
    for event in sorted(events, key=lambda each: each.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    predicted = cost_of(program, (512, 512), box).peak - part.nbytes
    assert 0.8 * predicted <= most <= 1.25 * predicted
