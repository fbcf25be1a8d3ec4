"""Images in empty surroundings, and the networks that are tried on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from embryos import CACHE, CPU, Volume, embryo, ovule
from from_scratch import INSTANCES, PATCH, TRAINED_ON, train

from napari_tileseg._progress import drain
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network, open_network
from napari_tileseg.samples import Sample
from napari_tileseg.settings import TrainSettings
from napari_tileseg.tiling import Box
from napari_tileseg.workflows.finetuning import FineTuning
from napari_tileseg.workflows.finetuning_request import TuneRequest

IMAGES = ("Emb04_t401", "Emb08_t401", "ovule")
INSTANCE, RENORM = "sample:nuclei_3d_instance", "sample:nuclei_3d_batch_renorm"
#: Percentile up to which voxels are background.
DARK = 5
#: What a network is fine-tuned on, all of whose labels it gets, and for how many steps; and of those
#: from scratch, fewer than in the comparison of normalizations.
TUNED_ON, STEPS, SCRATCH_STEPS = "Emb02_t501", 300, 600


@dataclass(frozen=True, eq=False)
class Scene:
    """An image in empty surroundings.

    Parameters
    ----------
    image : Image
        All of it.
    place : Box
        Where the image is that was put into them.
    objects : ndarray
        Whether each voxel is of an object.
    """

    image: Image
    place: Box
    objects: np.ndarray


def volume_of(name: str) -> Volume:
    """A volume of the real data."""
    return ovule() if name == "ovule" else embryo(name)


def sample_volume(sample: Sample) -> Volume:
    """A sample of those that come with the package."""
    units = ("micrometer",) * 3
    image = Image(sample.image, "zyx", name=sample.name, voxel_size=sample.voxel_size, units=units)
    return Volume(sample.name, image, sample.labels)


def placed(volume: Volume, times: int) -> Scene:
    """A volume in the middle of an image of as many times its area."""
    voxels = np.asarray(volume.image.data)
    dark = voxels[voxels < np.percentile(voxels, DARK)]
    depth, *plane = voxels.shape
    wide = tuple(round(n * times**0.5) for n in plane)
    surroundings = np.random.default_rng(0).choice(dark, size=(depth, *wide)).astype(voxels.dtype)
    start = (0, *((n - m) // 2 for n, m in zip(wide, plane, strict=True)))
    place = Box(start, tuple(a + n for a, n in zip(start, voxels.shape, strict=True)))
    surroundings[place.slices] = voxels
    objects = np.zeros(surroundings.shape, bool)
    objects[place.slices] = volume.masks.any(axis=0)
    return Scene(replace(volume.image, data=surroundings), place, objects)


@dataclass(frozen=True)
class Subject:
    """A network that is tried.

    Parameters
    ----------
    name : str
        What it is called.
    path : callable
        Gives where it is, and makes it if need be.
    seen : tuple of str
        Images that it was trained on, on which it is not tried.
    """

    name: str
    path: Callable[[], str]
    seen: tuple[str, ...] = ()

    def open(self) -> Network:
        """Open it."""
        return open_network(self.path())


def _tuned() -> str:
    """The shipped network with InstanceNorm, converted to BatchRenorm and fine-tuned on one embryo."""
    path = CACHE / f"surroundings_tuned_{STEPS}.safetensors"
    if not path.exists():
        volume = embryo(TUNED_ON)
        request = TuneRequest(
            image=volume.image,
            labels=volume.labels,
            network=open_network(INSTANCE),
            folder=path.with_suffix(".run"),
            training=TrainSettings(steps=STEPS, patch=PATCH, device="cpu"),
            meaning=INSTANCES,
            predict=CPU,
            which="last",
        )
        job = FineTuning(request)
        drain(job.run())
        job.trainer.save("last", path)
        job.close()
    return str(path)


def _from_scratch(norm: str) -> Callable[[], str]:
    return lambda: str(train(norm, 0, SCRATCH_STEPS))


SHIPPED = (Subject("InstanceNorm", lambda: INSTANCE), Subject("BatchRenorm", lambda: RENORM))
#: All that have a name.
SUBJECTS = (
    *SHIPPED,
    Subject("BatchRenorm, fine-tuned", _tuned, (TUNED_ON,)),
    Subject("InstanceNorm, from scratch", _from_scratch("instance"), TRAINED_ON),
    Subject("BatchRenorm, from scratch", _from_scratch("batch_renorm"), TRAINED_ON),
)


def subject_of(words: str) -> Subject:
    """A network by its name, or another one by ``NAME=PATH``."""
    known = {each.name: each for each in SUBJECTS}
    if words in known:
        return known[words]
    name, _, path = words.partition("=")
    if not path:
        raise SystemExit(f"There is no network {words}, but {', '.join(known)}, and others by NAME=PATH.")
    return Subject(name, lambda: path)
