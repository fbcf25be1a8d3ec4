"""What others do to predict an image, by their packages, for `bench_methods`.

Preparing a method whose package is missing raises `ImportError`; where it cannot predict a subject in its
windows, `UnfitError`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from bench_subjects import Subject

Run = Callable[[], np.ndarray]


class UnfitError(ValueError):
    """A method cannot predict a subject in windows of that size."""


def monai(overlap: float, mode: str) -> Callable[[Subject], Run]:
    """MONAI's sliding windows."""

    def prepare(subject: Subject) -> Run:
        from monai.inferers import sliding_window_inference

        def run() -> np.ndarray:
            inputs = torch.from_numpy(subject.image[np.newaxis])
            with torch.inference_mode():
                outputs = sliding_window_inference(
                    inputs, subject.window, 1, subject.network.module, overlap=overlap, mode=mode
                )
            return outputs[0].numpy()

        return run

    return prepare


def map_overlap(subject: Subject) -> Run:
    """Dask's blocks with an overlap that is enough, cut off again; one block at a time."""
    import dask.array as da

    classes = subject.network.spec.out_channels

    def predict(block: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return subject.network.module(torch.from_numpy(np.ascontiguousarray(block))[np.newaxis])[
                0
            ].numpy()

    def run() -> np.ndarray:
        depth = {0: 0, **dict(enumerate(subject.halo, start=1))}
        array = da.from_array(subject.image, chunks=(1, *subject.window))
        wide = da.overlap.overlap(array, depth, boundary="none")
        result = wide.map_blocks(predict, chunks=((classes,), *wide.chunks[1:]), dtype="f4")
        # One block at a time: the network has the threads.
        return da.overlap.trim_overlap(result, depth, boundary="none").compute(scheduler="synchronous")

    return run


def bioimageio(subject: Subject) -> Run:
    """bioimage.io's blockwise prediction: blocks of the windows' size, of which the halo is cut off."""
    from bioimageio.core import Sample, Tensor, create_prediction_pipeline

    if any(2 * halo >= n for n, halo in zip(subject.window, subject.halo, strict=True)):
        raise UnfitError(f"a halo of {subject.halo} leaves nothing of a window of {subject.window}")
    axes = subject.network.spec.axes
    blocks = {"batch": 1, "channel": 1, **dict(zip(axes, subject.window, strict=True))}
    with TemporaryDirectory() as folder:
        pipeline = create_prediction_pipeline(
            _describe(subject, Path(folder)), weight_format="pytorch_state_dict", devices=["cpu"]
        )

    def run() -> np.ndarray:
        tensor = Tensor.from_numpy(subject.image[np.newaxis], dims=("batch", "channel", *axes))
        sample = Sample(members={"image": tensor}, stat={}, id="bench")
        result = pipeline.predict_sample_with_fixed_blocking(
            sample, {"image": blocks}, skip_preprocessing=True, skip_postprocessing=True
        )
        return np.asarray(result.members["logits"].data)[0]

    return run


def _describe(subject: Subject, folder: Path) -> Any:
    """The network as bioimageio.core takes it, with files in a folder."""
    from bioimageio.spec.model import v0_5 as spec

    axes, classes = subject.network.spec.axes, subject.network.spec.out_channels
    strides = subject.network.spec.geometry.stride
    torch.save(subject.network.module.state_dict(), folder / "weights.pt")
    (folder / "about.md").write_text("For a benchmark.\n")
    np.save(folder / "image.npy", np.ones((1, 1, *subject.window), "f4"))
    np.save(folder / "logits.npy", np.ones((1, classes, *subject.window), "f4"))
    image_axes = [
        spec.SpaceInputAxis(id=axis, size=spec.ParameterizedSize(min=2 * halo + step, step=step))
        for axis, halo, step in zip(axes, subject.halo, strides, strict=True)
    ]
    logit_axes = [
        spec.SpaceOutputAxisWithHalo(
            id=axis, halo=halo, size=spec.SizeReference(tensor_id="image", axis_id=axis)
        )
        for axis, halo in zip(axes, subject.halo, strict=True)
    ]
    names = [f"class{number}" for number in range(classes)]
    architecture = spec.ArchitectureFromLibraryDescr(
        callable="UNet", import_from="napari_tileseg.nets.architectures.unet", kwargs=subject.arguments
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that a model for others should have
        return spec.ModelDescr(
            name="bench",
            description="A network of a benchmark.",
            authors=[spec.Author(name="The napari-tileseg developers")],
            cite=[spec.CiteEntry(text="none", url="https://example.org")],
            license="BSD-3-Clause",
            documentation=spec.FileDescr(source=folder / "about.md"),
            inputs=[
                spec.InputTensorDescr(
                    id="image",
                    axes=[spec.BatchAxis(), spec.ChannelAxis(channel_names=["image"]), *image_axes],
                    test_tensor=spec.FileDescr(source=folder / "image.npy"),
                )
            ],
            outputs=[
                spec.OutputTensorDescr(
                    id="logits",
                    axes=[spec.BatchAxis(), spec.ChannelAxis(channel_names=names), *logit_axes],
                    test_tensor=spec.FileDescr(source=folder / "logits.npy"),
                )
            ],
            weights=spec.WeightsDescr(
                pytorch_state_dict=spec.PytorchStateDictWeightsDescr(
                    source=folder / "weights.pt",
                    architecture=architecture,
                    pytorch_version=torch.__version__.split("+")[0],
                )
            ),
        )


def nnunet(subject: Subject) -> Run:
    """nnU-Net's sliding windows, half a window apart, weighted by a Gaussian, without mirroring."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.network = subject.network.module
    predictor.configuration_manager = SimpleNamespace(patch_size=subject.window)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=subject.network.spec.out_channels)
    flat = len(subject.shape) == 2
    image = torch.from_numpy(subject.image[:, np.newaxis] if flat else subject.image)

    def run() -> np.ndarray:
        logits = predictor.predict_sliding_window_return_logits(image).float().numpy()
        return logits[:, 0] if flat else logits

    return run


#: Patch, halo around it, and step from patch to patch that PlantSeg uses, where others have windows of 96.
PATCH, AROUND, STEP = 64, 16, 48


def averaged_patches(subject: Subject) -> Run:
    """The recipe of PlantSeg, which is on no package index: written anew from its description."""
    ndim, classes = len(subject.shape), subject.network.spec.out_channels
    window, stride = min(subject.window), max(subject.network.spec.geometry.stride)
    patch, around, step = (n * window // 96 // stride * stride for n in (PATCH, AROUND, STEP))
    starts = [sorted({*range(0, n - patch, step), n - patch}) for n in subject.shape]

    def run() -> np.ndarray:
        mirrored = np.pad(subject.image, ((0, 0), *((around, around),) * ndim), mode="reflect")
        total = np.zeros((classes, *subject.shape), "f4")
        count = np.zeros(subject.shape, "u1")
        inner = (slice(None), *(slice(around, around + patch),) * ndim)
        for start in product(*starts):
            seen = tuple(slice(a, a + patch + 2 * around) for a in start)
            place = tuple(slice(a, a + patch) for a in start)
            with torch.inference_mode():
                values = subject.network.module(torch.from_numpy(mirrored[(np.newaxis, slice(None), *seen)]))
            total[(slice(None), *place)] += values[0].numpy()[inner]
            count[place] += 1
        return total / count

    return run
