"""Guides against transformers' own CLIP and SigLIP scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from matboard.errors import ModelError
from matboard.models.guide import ClipGuide, load_guide
from matboard.models.processors import check
from matboard.models.processors.check import probe, to_tensor

SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
CAPTIONS = ["this is a photo of a cat", "dog"]
PICTURES = [probe(28, 28), probe(28, 28).rotate(90)]


def tokenizer() -> Any:
    words = ["<pad>", "<eos>", "<unk>", "this", "is", "a", "photo", "of", "cat", "dog"]
    made = Tokenizer(
        WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def parts(kind: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    text = {
        **SHAPE,
        "vocab_size": 10,
        "max_position_embeddings": 12,
        "eos_token_id": 1,
        "projection_size": 16,
    }
    vision = {**SHAPE, "image_size": 28, "patch_size": 7}
    config = {"text_config": text, "vision_config": vision}
    if kind == "siglip":
        model = hf.SiglipModel(hf.SiglipConfig(**config))
        return model, hf.SiglipImageProcessorPil(size={"height": 28, "width": 28})
    if kind == "siglip2":
        flat = {
            "vision_config": {**SHAPE, "num_patches": 16, "patch_size": 7},
            "text_config": text,
        }
        return hf.Siglip2Model(hf.Siglip2Config(**flat)), hf.Siglip2ImageProcessorPil(
            patch_size=7, max_num_patches=16
        )
    model = hf.CLIPModel(hf.CLIPConfig(**config, projection_dim=16))
    return model, hf.CLIPImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_cosines_are_the_models_own_logits(kind: str) -> None:
    model, processor = parts(kind)
    guide = ClipGuide(model, processor, tokenizer())
    padding = (
        {"padding": "max_length", "max_length": 12}
        if kind.startswith("siglip")
        else {"padding": True}
    )
    texts = guide.tokenizer(CAPTIONS, return_tensors="pt", **padding)
    logits = model(**texts, **processor(PICTURES, return_tensors="pt")).logits_per_image
    bias = float(getattr(model, "logit_bias", 0.0))
    ours = (
        guide.logit_scale
        * guide.image_features(PICTURES)
        @ guide.text_features(CAPTIONS).T
        + bias
    )
    torch.testing.assert_close(ours, logits)


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_gradient_reaches_every_pixel_and_nothing_else(kind: str) -> None:
    model, processor = parts(kind)
    guide = ClipGuide(model, processor, tokenizer())
    pixels = to_tensor(PICTURES).requires_grad_()
    features = guide.image_features(pixels)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(features, guide.image_features(PICTURES))
    (features * guide.text_features(CAPTIONS)).sum().backward()
    assert pixels.grad is not None and (pixels.grad != 0).all()
    assert not guide.text_features(CAPTIONS).requires_grad and not model.training
    assert all(not p.requires_grad and p.grad is None for p in model.parameters())


def test_long_captions_are_cut_and_none_is_refused() -> None:
    guide = ClipGuide(*parts("clip"), tokenizer())
    assert guide.text_features(["cat " * 40]).shape == (1, 16)
    with pytest.raises(ModelError, match="no captions to embed; give at least one"):
        guide.text_features([])


def test_a_guide_whose_processor_differs_loads_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "TOLERANCE", 0.01)
    for part in (*parts("clip"), tokenizer()):
        part.save_pretrained(tmp_path)
    with pytest.warns(
        UserWarning, match="^No prompt can be learned with .* refuse to train"
    ):
        guide = load_guide(str(tmp_path), device="cpu")
    assert guide.refusal is not None and guide.image_features(PICTURES).isfinite().all()


def test_a_folder_loads(tmp_path: Path) -> None:
    model, processor = parts("clip")
    for part in (model, processor, tokenizer()):
        part.save_pretrained(tmp_path)
    loaded = load_guide(str(tmp_path), device="cpu")
    torch.testing.assert_close(
        loaded.image_features(PICTURES),
        ClipGuide(model, processor, tokenizer()).image_features(PICTURES),
    )
    assert loaded.name == str(tmp_path)


def test_other_models_are_refused(tmp_path: Path) -> None:
    model = hf.ViTModel(hf.ViTConfig(**SHAPE, image_size=28, patch_size=7))
    with pytest.raises(
        ModelError,
        match=(
            "ViTModel is no guide: it has no get_image_features and no get_text_features and no"
            " logit_scale"
        ),
    ):
        ClipGuide(model, hf.ViTImageProcessorPil(), tokenizer())
    with pytest.raises(ModelError, match="yields no model"):
        load_guide(str(tmp_path))
