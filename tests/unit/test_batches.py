"""Training batches are a function of seed and step, and of nothing else."""

from collections import Counter

import numpy as np
import torch
from PIL import Image

from matboard.images import to_array
from matboard.prompts.canvas import Canvas
from matboard.tasks.task import Sample
from matboard.transfer.batches import Batches


def noise(seed, width, height):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def sample(i, load):
    return Sample(str(i), lambda: load(i), "what?", "a", ("a", "b"))


def batches(size=(40, 40), **options):
    samples = [sample(i, lambda i: noise(i, *size)) for i in range(10)]
    return Batches(samples, Canvas(32, 4), 4, seed=3, **options)


def views(some):
    """All views of five steps, which are two epochs."""
    return [view for step in range(5) for view in some.at(step).views]


def test_a_step_is_the_same_however_one_gets_there():
    walked = batches()
    for step in range(7):
        last = walked.at(step)
    there = batches().at(6)
    assert there.indices == last.indices
    assert there.views == last.views
    assert torch.equal(there.images, last.images)


def test_an_epoch_sees_every_sample_once():
    seen = Counter()
    for step in range(5):
        seen.update(batches().at(step).indices)
    assert seen == Counter(dict.fromkeys(range(10), 2))


def test_parts_make_up_the_step():
    alone = batches().at(2)
    first = batches().at(2, 0, 2)
    second = batches().at(2, 1, 2)
    assert first.indices + second.indices == alone.indices
    assert first.views + second.views == alone.views
    images = torch.cat([first.images, second.images])
    assert torch.equal(images, alone.images)


def test_square_pictures_are_never_cropped_and_mirroring_obeys_the_task():
    seen = views(batches())
    assert {view.offset for view in seen} == {0.5}
    assert {view.mirror for view in seen} == {True, False}
    assert not any(view.mirror for view in views(batches(mirror=False)))


def test_wide_pictures_are_cropped_at_random_places():
    wide = views(batches(size=(80, 40)))
    assert len({view.offset for view in wide}) > 10


def test_without_diversity_training_sees_what_deployment_sees():
    some = batches(size=(80, 40), diversity=False)
    batch = some.at(0)
    for index, image in zip(batch.indices, batch.images):
        picture = some.samples[index].load()
        deployed = some.canvas.shrink(picture)
        assert np.array_equal(image.numpy(), to_array(deployed))


def test_pictures_beyond_the_cache_are_decoded_again():
    loads = Counter()

    def load(i):
        loads[i] += 1
        return Image.new("RGB", (10, 10))

    some = [sample(i, load) for i in range(4)]
    small = Batches(some, Canvas(32, 4), 4, seed=0, cache_bytes=600)
    for step in range(3):
        small.at(step)
    assert sorted(loads.values()) == [1, 1, 3, 3]
