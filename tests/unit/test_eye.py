"""What is kept of pictures is what would be computed, and is computed once."""

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from matboard.continual.crops import crop_and_flip
from matboard.continual.eye import FrozenEye
from matboard.models.backbone import TransformerBackbone
from matboard.tasks import scenes
from matboard.tasks.task import Sample


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    config = hf.ViTConfig(
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
    )
    return TransformerBackbone(hf.ViTModel(config), "vit")


def samples(count, loads):
    def picture(i):
        def load():
            loads.append(i)
            pixels = np.random.default_rng(i).integers(
                0, 256, (20, 30, 3), dtype=np.uint8
            )
            return Image.fromarray(pixels)

        return load

    return [Sample(f"s{i}", picture(i), "?", "a", ("a", "b")) for i in range(count)]


@pytest.mark.parametrize("layer", [None, 0, 2])
def test_kept_answers_are_the_fresh_ones(backbone, layer):
    some = samples(5, loads=[])
    eye = FrozenEye(backbone, batch_size=2)
    assert list(eye.prepare(some, layer)) == [2, 4, 5]
    kept = eye.inputs(some[::-1], layer)
    fresh = FrozenEye(backbone, keep=False).inputs(some[::-1], layer)
    by_hand = backbone.query(kept.images.float() / 255)
    assert torch.allclose(kept.query, by_hand, atol=1e-5)
    assert torch.allclose(fresh.query, by_hand, atol=1e-5)
    assert torch.equal(kept.images, fresh.images)
    if layer is None:
        assert kept.tokens is None
    else:
        wanted = backbone.advance(backbone.embed(kept.images.float() / 255), stop=layer)
        assert torch.allclose(kept.tokens, wanted, atol=1e-5)
        assert torch.allclose(fresh.tokens, wanted, atol=1e-5)


def test_each_picture_is_decoded_and_encoded_once(backbone, monkeypatch):
    loads = []
    encoded = []
    some = samples(5, loads)
    eye = FrozenEye(backbone, batch_size=2)
    real = backbone.forward

    def counted(tokens, *args, **options):
        encoded.append(len(tokens))
        return real(tokens, *args, **options)

    monkeypatch.setattr(backbone, "forward", counted)
    for _ in range(3):
        eye.inputs(some, 2)
        eye.inputs(some[1:3])
    assert sorted(loads) == [0, 1, 2, 3, 4] and sum(encoded) == 5


def test_augmented_inputs_keep_the_clean_query_unless_asked(backbone):
    some = samples(4, loads=[])
    eye = FrozenEye(backbone)
    clean = eye.inputs(some, 0)
    kept = eye.augmented(some, 0, torch.Generator().manual_seed(3))
    own = eye.augmented(some, 0, torch.Generator().manual_seed(3), clean_query=False)
    assert torch.equal(kept.query, clean.query)
    assert torch.equal(kept.images, own.images)
    assert not torch.equal(kept.images, clean.images)
    assert torch.allclose(
        own.query, backbone.query(own.images.float() / 255), atol=1e-6
    )


def test_crops_are_seeded_whole_pictures_at_most_and_flips_mirror():
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    whole = crop_and_flip(
        images, torch.Generator().manual_seed(0), area=(1.0, 1.0), ratio=1.0
    )
    assert all(
        torch.equal(w, i) or torch.equal(w, i.flip(-1)) for w, i in zip(whole, images)
    )
    assert {bool(torch.equal(w, i)) for w, i in zip(whole, images)} == {True, False}
    generator = torch.Generator().manual_seed(0)
    still = crop_and_flip(images, generator, area=(1.0, 1.0), ratio=1.0, mirror=False)
    assert torch.equal(still, images)
    a, b, c = (
        crop_and_flip(images, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_small_pictures_are_kept_small_and_enlarged_as_pillow_does(backbone):
    # Drawn, not noise: Pillow clips between its two passes, torch does not.
    small = scenes.build("things", train=1, test=1, size=6).test[0].load()
    eye = FrozenEye(backbone)
    images = eye.images([Sample("small", lambda: small, "?", "a", ("a", "b"))])
    assert eye._images["small"].shape == (3, 6, 6)
    official = np.asarray(small.resize((16, 16), Image.Resampling.BICUBIC)).transpose(
        2, 0, 1
    )
    assert np.abs(images[0].numpy().astype(int) - official.astype(int)).max() <= 1
