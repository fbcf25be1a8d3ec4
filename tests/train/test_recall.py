"""What a network said is remembered where nobody has painted, and nowhere else."""

import numpy as np

from napari_tileseg.train import TrainingImage
from napari_tileseg.train.material import gather
from napari_tileseg.train.patches import context_of, cut_index
from napari_tileseg.train.recall import recall
from napari_tileseg.train.stepping import Patches

PATCH, HALO = (32, 32), ((9, 9), (9, 9))


def ended(work):
    """Drive a generator to its end, and give what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_painted_voxels_are_not_remembered_be_they_context_or_held_out(plan, strokes, make_network) -> None:
    network = make_network()
    said = ended(recall(plan, network, strokes))
    material = gather([TrainingImage(plan, strokes, said=said)], network, 0.2, 0)
    assert material.held_out
    sources = material.sources(material.training)
    patches = Patches(material.training, sources, halo=HALO, lead=0, patch=PATCH, cell=PATCH, augment=False)
    rng, hidden, remembered = np.random.default_rng(0), 0, 0
    for _ in range(100):
        number, box = patches.sampler.draw(PATCH, [context_of(PATCH, HALO, dense=False)], rng)
        patch = patches._read(number, 0, box)
        painted = cut_index(strokes.index, box, box, -1) >= 0
        assert np.isnan(patch.said[:, painted]).all()
        hidden += np.count_nonzero(painted & (patch.index < 0))
        remembered += np.count_nonzero(~np.isnan(patch.said[0]))
    assert hidden > 100
    assert remembered > 100 * 32 * 32 / 2
