"""Each step against a restatement in NumPy on the whole array, seen whole and block by block."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_tileseg.errors import ImageError, NetworkError
from napari_tileseg.nets.intensities import (
    Clip,
    Linear,
    Measuring,
    Percentiles,
    Subject,
    ZeroMean,
    apply_steps,
    prepare_array,
)
from napari_tileseg.nets.intensities.foreground import Foreground, holes_in


def restated(values, steps):
    """Return what steps make of a whole image, a channel or a pool at a time, with NumPy's own functions."""
    stored, now = values, values.astype("f8")
    some = (stored != 0).any(axis=0)
    flat = some.ndim == 2
    full = ndimage.binary_fill_holes(some[np.newaxis])[0] if flat else ndimage.binary_fill_holes(some)
    lo = [int(np.nonzero(some)[axis].min()) if some.any() else 0 for axis in range(some.ndim)]
    hi = [int(np.nonzero(some)[axis].max()) + 1 if some.any() else 0 for axis in range(some.ndim)]
    inside = np.zeros_like(some)
    inside[tuple(map(slice, lo, hi))] = True
    for step in steps:
        about = range(len(now)) if step.channels is None else step.channels
        if isinstance(step, Clip):
            for c in about:
                now[c] = now[c].clip(step.low, step.high)
            continue
        seen = {c: {"all": some | True, "box": inside, "mask": full, "nonzero": now[c] != 0} for c in about}
        seen = {c: each[step.over] for c, each in seen.items()}
        pooled = np.concatenate([now[c][seen[c]] for c in about])
        fresh = {}
        for number, c in enumerate(about):
            changed = seen[c] if step.over in {"mask", "nonzero"} else some | True
            if isinstance(step, Linear):
                gain = step.gain[number] if isinstance(step.gain, tuple) else step.gain
                offset = step.offset[number] if isinstance(step.offset, tuple) else step.offset
                fresh[c] = np.where(changed, now[c] * gain + offset, now[c])
                continue
            sample = now[c][seen[c]] if step.per_channel else pooled
            if not sample.size:
                fresh[c] = now[c]
                continue
            if isinstance(step, ZeroMean):
                centre, spread = sample.mean(), sample.std(ddof=0)
            else:
                centre, upper = np.percentile(sample, [step.low, step.high])
                spread = upper - centre
            divided = (now[c] - centre) / (max(spread, step.eps) if step.floor else spread + step.eps)
            if isinstance(step, Percentiles):
                divided = divided.clip(0, 1) if step.clip else divided
                divided = divided * (step.to[1] - step.to[0]) + step.to[0]
            fresh[c] = np.where(changed, divided, now[c])
        for c, each in fresh.items():
            now[c] = each
    return now


def by_blocks(values, steps, size):
    """Measure an image in blocks, and prepare it tile by tile with what was found."""
    work = Measuring(steps, Subject("an image", tuple(range(len(values))), values.dtype, values.shape[1:]))
    cuts = list(product(*(range(0, n, size) for n in values.shape[1:])))
    passes = 0
    while not work.done:
        for start in cuts[::-1]:
            work.add(values[(slice(None), *(slice(a, a + size) for a in start))], start)
        work.end_pass()
        passes += 1
    assert passes == work.passes
    out = np.empty(values.shape, "f4")
    for start in cuts:
        part = (slice(None), *(slice(a, a + size) for a in start))
        tile = values[part]
        holes = holes_in(work.holes, values.shape[1:], start, tile.shape[1:])
        out[part] = apply_steps(tile, work.resolved, holes)
    return out


def image(channels, dtype, shape=(9, 14), empty=0.4):
    """Return an image with zeros around and inside of what it shows."""
    rng = np.random.default_rng(11)
    values = rng.gamma(3.0, 20.0, (channels, *shape))
    if np.dtype(dtype).kind == "u":
        values = values.round().clip(0, 250)
    values = np.where(rng.random((channels, *shape)) < empty, 0, values)
    values[:, :2] = values[:, :, -3:] = 0
    return values.astype(dtype)


EACH = {
    "linear": [Linear(gain=0.5, offset=-3)],
    "linear, one each": [Linear(gain=(0.5, -2, 1), offset=(1, 2, 3))],
    "linear, zeros stay": [Linear(gain=0.1, offset=4, over="nonzero")],
    "clip": [Clip(low=20, high=60)],
    "clip from": [Clip(low=20)],
    "zero mean": [ZeroMean()],
    "zero mean with eps": [ZeroMean(eps=0.1)],
    "zero mean with a floor": [ZeroMean(eps=1e-8, floor=True)],
    "zero mean, a floor above": [ZeroMean(eps=500, floor=True)],
    "zero mean together": [ZeroMean(per_channel=False)],
    "zero mean of the box": [ZeroMean(over="box")],
    "zero mean of the mask": [ZeroMean(over="mask", eps=1e-8, floor=True)],
    "zero mean of what is not zero": [ZeroMean(over="nonzero")],
    "zero mean of what is not zero, together": [ZeroMean(over="nonzero", per_channel=False)],
    "percentiles": [Percentiles(low=2, high=98)],
    "percentiles, clipped": [Percentiles(low=2, high=98, clip=True)],
    "percentiles with eps, together": [Percentiles(low=5, high=99.8, eps=1e-6, per_channel=False)],
    "minimum and maximum": [Percentiles(to=(-1, 3))],
    "turned round": [Percentiles(to=(1, 0), clip=True, low=10)],
    "percentiles of the box": [Percentiles(low=40, over="box")],
    "percentiles of the mask": [Percentiles(low=40, over="mask")],
    "percentiles of what is not zero": [Percentiles(low=40, high=60, over="nonzero")],
    "clip, then zero mean": [Clip(low=10, high=40), ZeroMean()],
    "zero mean, then clip": [ZeroMean(), Clip(low=-1, high=1)],
    "quantiles of what was turned and clipped": [
        Linear(gain=-0.3, offset=7),
        Clip(low=-5, high=6),
        ZeroMean(),
        Percentiles(low=7, high=91.3),
    ],
    "quantiles after zeros that stay": [ZeroMean(over="mask"), Percentiles(low=7, high=91.3)],
    "quantiles together after each by itself": [Percentiles(low=3), Percentiles(high=97, per_channel=False)],
    "twice": [ZeroMean(), ZeroMean(eps=0.5), Percentiles()],
    "another for each channel": [
        Clip(low=30, high=60, channels=(1,)),
        Linear(gain=0.05, offset=-2, channels=(1,)),
        ZeroMean(channels=(0,), over="box"),
        Percentiles(channels=(2,), over="box"),
    ],
    "two of three together": [ZeroMean(channels=(2, 0), per_channel=False), Percentiles(channels=(0,))],
}


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("name", EACH)
def test_a_step_does_what_numpy_does_with_the_whole_image(name, dtype):
    steps, values = EACH[name], image(3, dtype)
    expected = restated(values, steps)
    close = {"rtol": 1e-6, "atol": 2e-6 * abs(expected).max()}
    np.testing.assert_allclose(prepare_array(values, steps), expected, **close)
    np.testing.assert_allclose(by_blocks(values, steps, 4), expected, **close)


@pytest.mark.parametrize(
    "name", [n for n in EACH if n != "linear, one each" and all(s.channels is None for s in EACH[n])]
)
def test_one_channel_in_space(name):
    values = image(1, "u2", (4, 6, 7))
    expected = restated(values, EACH[name])
    close = {"rtol": 1e-6, "atol": 2e-6 * abs(expected).max()}
    np.testing.assert_allclose(prepare_array(values, EACH[name]), expected, **close)
    np.testing.assert_allclose(by_blocks(values, EACH[name], 3), expected, **close)


channels = st.sampled_from([None, (0,), (1,), (1, 0)])
exact = st.one_of(
    st.builds(Linear, gain=st.sampled_from([-1, 0.5, 2]), offset=st.integers(-9, 9), channels=channels),
    st.builds(Clip, low=st.integers(-50, 0), high=st.integers(1, 90), channels=channels),
)
eps, flags = st.floats(0.01, 3), st.booleans()
# What is left alone because it is zero depends on the last bit, once numbers are rounded.
measured = [
    st.one_of(
        st.builds(ZeroMean, per_channel=flags, eps=eps, floor=flags, over=over, channels=channels),
        st.builds(
            Percentiles,
            low=st.floats(0, 45),
            high=st.floats(55, 100),
            per_channel=flags,
            eps=eps,
            floor=flags,
            clip=flags,
            to=st.sampled_from([(0, 1), (-1, 1), (1, 0)]),
            over=over,
            channels=channels,
        ),
    )
    for over in (st.sampled_from(["all", "box", "mask", "nonzero"]), st.sampled_from(["all", "box", "mask"]))
]
pipelines = st.tuples(
    st.lists(exact, max_size=2), measured[0], st.lists(st.one_of(exact, measured[1]), max_size=3)
).map(lambda parts: [*parts[0], parts[1], *parts[2]])


@given(steps=pipelines, seed=st.integers(0, 99), dtype=st.sampled_from(["u1", "i2", "f4"]))
def test_any_steps_in_any_order(steps, seed, dtype):
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 120, (2, 5, 6)) * (generator.random((2, 5, 6)) < 0.6)
    values[:, 2, 2] = 1
    values = values.astype(dtype)
    expected = restated(values, steps)
    close = {"rtol": 1e-5, "atol": 1e-5 * max(1, abs(expected).max())}
    np.testing.assert_allclose(by_blocks(values, steps, 4), expected, **close)


def test_order_matters_and_is_kept():
    values = image(1, "f4")
    first, second = (
        prepare_array(values, EACH[name]) for name in ("clip, then zero mean", "zero mean, then clip")
    )
    assert abs(first - second).max() > 0.1
    assert first.mean() == pytest.approx(0, abs=1e-5)
    assert (second.min(), second.max()) == (-1, 1) or abs(second).max() <= 1


def test_zeros_outside_of_a_mask_stay_and_those_inside_of_one_channel_do_not():
    values = np.array([[[0, 5, 9, 0]], [[0, 3, 0, 0]]], "u1")
    out = prepare_array(values, [ZeroMean(over="mask")])
    assert (out[:, 0, [0, 3]] == 0).all()
    assert out[1, 0, 2] == pytest.approx(-1)
    np.testing.assert_allclose(prepare_array(values, [ZeroMean(over="nonzero", eps=1, floor=True)])[1], 0)


def test_holes_belong_to_a_mask_in_a_volume_only():
    values = np.zeros((2, 5, 6, 7), "u2")
    values[0, 1:4, 1:5, 1:6] = np.arange(60).reshape(3, 4, 5) + 1
    values[:, 2, 2:4, 2:4] = 0
    values[:, 3, 3, 1] = 0
    steps = [ZeroMean(over="mask", eps=1e-8, floor=True)]
    hole, open_to_the_left = (slice(None), 2, slice(2, 4), slice(2, 4)), (slice(None), 3, 3, 1)
    for out in (prepare_array(values, steps)[:1], by_blocks(values, steps, 2)[:1]):
        inside = values[0, 1:4, 1:5, 1:6].ravel()
        inside = np.delete(inside, np.ravel_multi_index((2, 2, 0), (3, 4, 5)))
        np.testing.assert_allclose(out[hole], -inside.mean() / inside.std(), rtol=1e-6)
        assert (out[open_to_the_left] == 0).all()
        assert (out[:, 0] == 0).all()
    flat = values[:, 2]
    assert (prepare_array(flat, steps)[:, 2:4, 2:4] == 0).all()


def test_holes_along_time_are_no_holes():
    values = np.ones((1, 3, 3, 3, 3), "u1")
    values[0, 1] = 0
    values[0, 2, 1, 1, 1] = 0
    search = Foreground((3, 3, 3, 3), lead=1)
    search.add(values, (0, 0, 0, 0))
    search.end("an image")
    assert search.holes == ((2 * 27 + 13, 1),)


def test_more_holes_than_can_be_stored_are_refused():
    values = np.ones((1, 3, 515, 515), "u1")
    values[0, 1, 1:-1, 1:-1] = np.arange(513) % 2
    with pytest.raises(ImageError, match=r"rows of voxels in holes, and 131072 can be stored. Choose"):
        prepare_array(values, [ZeroMean(over="mask", eps=1)])


@given(
    found=arrays(
        np.bool_, st.tuples(*[st.integers(1, 5)] * 3), elements=st.sampled_from([True, True, False])
    ),
    start=st.tuples(*[st.integers(0, 2)] * 3),
)
def test_holes_are_those_of_scipy_in_every_part_of_an_image(found, start):
    search = Foreground(found.shape, lead=0)
    search.add(found[np.newaxis], (0, 0, 0))
    search.end("an image")
    filled = ndimage.binary_fill_holes(found) & ~found
    part = filled[tuple(slice(a, None) for a in start)]
    if part.size:
        np.testing.assert_array_equal(holes_in(search.holes, found.shape, start, part.shape), part)
    assert (search.holes == ()) == (not filled.any())


# Numbers of two packages, by hand: 0, 2, 4 and 6 in one channel, ten times that in the other.
TWO = np.array([[[0, 2, 4, 6]], [[0, 20, 40, 60]]], "f4")


def test_bioimageio_0_4_normalizes_over_y_and_x_each_channel_by_itself():
    out = prepare_array(TWO, [ZeroMean(eps=1e-6)])
    one = (np.array([0, 2, 4, 6]) - 3) / (np.sqrt(5) + 1e-6)
    np.testing.assert_allclose(out[0, 0], one, rtol=1e-6)
    np.testing.assert_allclose(out[1, 0], one, rtol=1e-5)


def test_bioimageio_0_5_without_axes_normalizes_channels_together():
    out = prepare_array(TWO, [ZeroMean(eps=1e-6, per_channel=False)])
    # Mean 16.5; of the squares (4 + 16 + 36) * 101 / 8 = 707, less 272.25: a variance of 434.75.
    np.testing.assert_allclose(out, (TWO - 16.5) / (np.sqrt(434.75) + 1e-6), rtol=1e-6)


def test_a_stated_eps_counts():
    values = np.array([[[0.15, 0.25, 0.15, 0.25]]], "f8")
    out = prepare_array(values, [ZeroMean(eps=0.1)])
    assert out.std() == pytest.approx(0.05 / 0.15, rel=1e-5)


def test_scale_range_is_not_clipped():
    values = np.arange(101, dtype="u1").reshape(1, 1, 101)
    out = prepare_array(values, [Percentiles(low=10, high=90, eps=1e-6)])
    assert (out.min(), out.max()) == (pytest.approx(-0.125), pytest.approx(1.125))


def test_nnunet_normalizes_ct_by_the_numbers_of_its_plans_and_others_by_their_box():
    values = image(2, "f4")
    mean, deviation, lower, upper = 45.5, 17.25, 12.0, 80.0
    steps = [
        Clip(low=lower, high=upper, channels=(0,)),
        Linear(gain=1 / deviation, offset=-mean / deviation, channels=(0,)),
        ZeroMean(eps=1e-8, floor=True, over="box", channels=(1,)),
    ]
    out = prepare_array(values, steps)
    np.testing.assert_allclose(
        out[0], (values[0].clip(lower, upper) - mean) / deviation, rtol=1e-5, atol=1e-6
    )
    where = np.nonzero((values != 0).any(axis=0))
    crop = values[1][where[0].min() : where[0].max() + 1, where[1].min() : where[1].max() + 1]
    np.testing.assert_allclose(out[1], (values[1] - crop.mean()) / crop.std(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_nnunets_own_schemes_are_these_steps(masked):
    cropping = pytest.importorskip("nnunetv2.preprocessing.cropping.cropping")
    schemes = pytest.importorskip("nnunetv2.preprocessing.normalization.default_normalization_schemes")
    values = np.zeros((3, 9, 14, 12), "f4")
    values[:, 2:8, 1:12, 3:11] = image(3, "f4", (6, 11, 8), empty=0.6)
    numbers = {"mean": 45.5, "std": 17.25, "percentile_00_5": 12.0, "percentile_99_5": 80.0}
    data, outside, box = cropping.crop_to_nonzero(values.copy())
    names = ("CTNormalization", "ZScoreNormalization", "RescaleTo01Normalization")
    theirs = [
        getattr(schemes, name)(masked, numbers).run(channel, outside[0])
        for name, channel in zip(names, data, strict=True)
    ]
    steps = [
        Clip(low=12, high=80, channels=(0,)),
        Linear(gain=1 / 17.25, offset=-45.5 / 17.25, channels=(0,)),
        ZeroMean(eps=1e-8, floor=True, over="mask" if masked else "box", channels=(1,)),
        Percentiles(eps=1e-8, floor=True, over="box", channels=(2,)),
    ]
    ours = prepare_array(values, steps)[(slice(None), *(slice(*ends) for ends in box))]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channel_wise", [True, False])
def test_monais_transforms_are_these_steps(channel_wise):
    from monai import transforms  # the package's own dependency

    values = image(2, "f4")
    same = {
        transforms.ScaleIntensityRange(10, 60, -1, 1, clip=True): [
            Linear(gain=2 / 50, offset=-1 - 10 * 2 / 50),
            Clip(low=-1, high=1),
        ],
        transforms.ScaleIntensity(-1, 2, channel_wise=channel_wise): [
            Percentiles(to=(-1, 2), per_channel=channel_wise)
        ],
        transforms.NormalizeIntensity(channel_wise=channel_wise): [ZeroMean(per_channel=channel_wise)],
        transforms.NormalizeIntensity(nonzero=True, channel_wise=channel_wise): [
            ZeroMean(per_channel=channel_wise, over="nonzero")
        ],
        transforms.NormalizeIntensity(30, 20, nonzero=True): [
            Linear(gain=1 / 20, offset=-30 / 20, over="nonzero")
        ],
        transforms.ScaleIntensityRangePercentiles(5, 95, 0, 1, clip=True, channel_wise=channel_wise): [
            Percentiles(low=5, high=95, clip=True, per_channel=channel_wise)
        ],
    }
    for transform, steps in same.items():
        theirs = np.asarray(transform(values.copy()))
        np.testing.assert_allclose(prepare_array(values, steps), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize(
    "step", [ZeroMean(), Percentiles(), ZeroMean(over="box"), Percentiles(over="nonzero")]
)
def test_a_constant_channel_is_refused_where_it_would_become_infinite(step, dtype):
    values = np.stack([image(1, "u1")[0], np.full((9, 14), 7)]).astype(dtype)
    with pytest.raises(ImageError, match=r"contrast; channel 1 of my image is 7 everywhere"):
        prepare_array(values, [step], "my image")


def test_what_a_refused_step_measured_is_named():
    values = image(1, "u1")
    with pytest.raises(ImageError, match=r"is 300 everywhere where .*\(clipped to 300 at least, then ze"):
        prepare_array(values, [Clip(low=300), ZeroMean()])
    with pytest.raises(ImageError, match="is 300 everywhere where"):
        prepare_array(values, [Clip(low=300), Percentiles()])
    with pytest.raises(ImageError, match=r"Quantiles 1 and 5 % .* both are 0, because nearly all"):
        prepare_array(values, [Percentiles(low=1, high=5)])


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("value", [7, 0.1, 1e9])
def test_a_constant_channel_is_zero_where_eps_or_a_floor_allows_it(dtype, value):
    if np.dtype(dtype).kind == "u":
        value = min(int(value), 255)
    values = np.full((1, 30, 30), value, dtype)
    for step in (ZeroMean(eps=1e-6), ZeroMean(eps=1e-30, floor=True), Percentiles(eps=1e-8, floor=True)):
        assert (prepare_array(values, [step]) == 0).all()


def test_an_image_without_a_voxel_that_is_not_zero():
    blank = np.zeros((2, 5, 6), "u1")
    for over in ("mask", "nonzero"):
        assert (prepare_array(blank, [ZeroMean(over=over), Percentiles(over=over)]) == 0).all()
    with pytest.raises(ImageError, match=r"not zero; the array has none"):
        prepare_array(blank, [ZeroMean(over="box", eps=1)])


def test_what_leaves_32_bits_is_refused():
    values = np.full((1, 4, 4), 200, "u1")
    with pytest.raises(ImageError, match="too large for 32 bits"):
        prepare_array(values, [Linear(gain=1e30)] * 2)
    with pytest.raises(ImageError, match="too large for 32 bits"):
        prepare_array(values, [Linear(gain=1e30)] * 16)
    with pytest.raises(ImageError, match="too large, or too far apart"):
        prepare_array(image(1, "u1"), [*[Linear(gain=1e30)] * 15, ZeroMean()])


def test_steps_about_a_channel_that_is_not_there_are_refused():
    with pytest.raises(NetworkError, match="channel 3"):
        prepare_array(image(2, "u1"), [ZeroMean(channels=(3,))])


def test_stored_intensities_are_searched_where_that_gives_the_same():
    subject = Subject("an image", (0, 1), np.dtype("u2"), (5, 6))
    before = [Clip(high=90), Linear(gain=(-1, 2)), ZeroMean()]
    assert Measuring([*before, Percentiles()], subject).passes == 2
    assert Measuring([*before, Percentiles(per_channel=False)], subject).passes == 5
    assert Measuring([ZeroMean(channels=(0,)), Percentiles(channels=(1,))], subject).passes == 1
    assert Measuring([Clip(low=1), Linear(gain=2)], subject).done
