"""Training batches are a function of seed and step, and of nothing else."""

from collections import Counter

import numpy as np
import torch
from PIL import Image

from matboard.images import to_array
from matboard.prompts.canvas import Canvas
from matboard.tasks.task import Sample
from matboard.transfer.batches import Batches


def samples(count, size=(40, 40)):
    def load(i):
        generator = np.random.default_rng(i)
        return Image.fromarray(generator.integers(0, 255, (*size[::-1], 3), dtype=np.uint8))

    return [Sample(str(i), lambda i=i: load(i), "what?", "a", ("a", "b")) for i in range(count)]


def batches(count=10, size=(40, 40), **options):
    return Batches(samples(count, size), Canvas(32, 4), 4, seed=3, **options)


def test_a_step_is_the_same_however_one_gets_there():
    walked, jumped = batches(), batches()
    for step in range(7):
        last = walked.at(step)
    there = jumped.at(6)
    assert there.indices == last.indices and there.views == last.views
    assert torch.equal(there.images, last.images)


def test_an_epoch_sees_every_sample_once():
    seen = Counter(i for step in range(5) for i in batches().at(step).indices)
    assert seen == Counter(dict.fromkeys(range(10), 2))


def test_parts_make_up_the_step():
    alone = batches().at(2)
    first = batches().at(2, 0, 2)
    second = batches().at(2, 1, 2)
    assert first.indices + second.indices == alone.indices
    assert first.views + second.views == alone.views
    assert torch.equal(torch.cat([first.images, second.images]), alone.images)


def test_square_pictures_are_never_cropped_and_mirroring_obeys_the_task():
    views = [v for step in range(10) for v in batches().at(step).views]
    assert {view.offset for view in views} == {0.5}
    assert {view.mirror for view in views} == {True, False}
    assert not any(v.mirror for step in range(10) for v in batches(mirror=False).at(step).views)


def test_wide_pictures_are_cropped_at_random_places():
    offsets = {v.offset for step in range(5) for v in batches(size=(80, 40)).at(step).views}
    assert len(offsets) > 10


def test_without_diversity_training_sees_what_deployment_sees():
    some = batches(size=(80, 40), diversity=False)
    batch = some.at(0)
    for index, image in zip(batch.indices, batch.images):
        deployed = some.canvas.shrink(some.samples[index].load())
        assert np.array_equal(image.numpy(), to_array(deployed))


def test_pictures_beyond_the_cache_are_decoded_again():
    loads = Counter()

    def load(i):
        loads[i] += 1
        return Image.new("RGB", (10, 10))

    some = [Sample(str(i), lambda i=i: load(i), "?", "a") for i in range(4)]
    small = Batches(some, Canvas(32, 4), 4, seed=0, cache_bytes=600)
    for step in range(3):
        small.at(step)
    assert sorted(loads.values()) == [1, 1, 3, 3]
