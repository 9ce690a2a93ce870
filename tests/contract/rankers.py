"""Dual encoders and image classifiers, tiny and random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from matboard.models.classifier import Classifier
from matboard.models.dual_encoder import DualEncoder
from matboard.models.guide import ClipGuide
from matboard.zoo.efficientnet import (
    EfficientNetLiteConfig,
    EfficientNetLiteForImageClassification,
)

SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SIDE = 28
CLASSES = 7
WORDS = "<pad> <eos> <unk> This is a photo of cat dog plane car drawing the"


def tokenizer() -> Any:
    vocabulary = {word: place for place, word in enumerate(WORDS.split())}
    made = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    ending = [("<eos>", vocabulary["<eos>"])]
    made.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=ending)
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return hf.PreTrainedTokenizerFast(tokenizer_object=made, **names)


def _dual_config() -> dict[str, Any]:
    text = {
        **SHAPE,
        "vocab_size": len(WORDS.split()),
        "max_position_embeddings": 12,
        "eos_token_id": 1,
        "projection_size": 16,
    }
    vision = {**SHAPE, "image_size": SIDE, "patch_size": 7}
    return {"text_config": text, "vision_config": vision}


def clip_processor() -> Any:
    crop = {"height": SIDE, "width": SIDE}
    return hf.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=crop)


def clip() -> tuple[Any, Any]:
    config = hf.CLIPConfig(**_dual_config(), projection_dim=16)
    return hf.CLIPModel(config), clip_processor()


def siglip() -> tuple[Any, Any]:
    processor = hf.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return hf.SiglipModel(hf.SiglipConfig(**_dual_config())), processor


def siglip2() -> tuple[Any, Any]:
    config = _dual_config()
    config["vision_config"] = {**SHAPE, "num_patches": 16, "patch_size": 7}
    processor = hf.Siglip2ImageProcessorPil(patch_size=7, max_num_patches=16)
    return hf.Siglip2Model(hf.Siglip2Config(**config)), processor


def vit() -> tuple[Any, Any]:
    config = hf.ViTConfig(**SHAPE, image_size=SIDE, patch_size=7, num_labels=CLASSES)
    processor = hf.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return hf.ViTForImageClassification(config), processor


def resnet() -> tuple[Any, Any]:
    config = hf.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12],
        depths=[1, 1],
        layer_type="basic",
        num_labels=CLASSES,
    )
    return hf.ResNetForImageClassification(config), _cut()


def convnext() -> tuple[Any, Any]:
    config = hf.ConvNextConfig(
        hidden_sizes=[8, 12],
        depths=[1, 1],
        num_stages=2,
        layer_scale_init_value=1.0,
        num_labels=CLASSES,
    )
    return hf.ConvNextForImageClassification(config), _cut()


def _cut() -> Any:
    return hf.ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=0.875)


def efficientnet() -> tuple[Any, Any]:
    stages = ((1, 3, 1, 1, 8), (1, 3, 2, 2, 12))
    config = EfficientNetLiteConfig(
        stages=stages, stem=8, hidden_size=16, num_labels=CLASSES
    )
    return EfficientNetLiteForImageClassification(config), clip_processor()


Maker = Callable[[], tuple[Any, Any]]
DUAL: dict[str, Maker] = {"clip": clip, "siglip": siglip, "siglip2": siglip2}
CLASSIFIERS: dict[str, Maker] = {
    "vit": vit,
    "resnet": resnet,
    "convnext": convnext,
    "efficientnet": efficientnet,
}


def parts(name: str) -> tuple[Any, Any]:
    """A model and its image processor, always the same."""
    torch.manual_seed(0)
    return {**DUAL, **CLASSIFIERS}[name]()


def dual_encoder(name: str, **options: Any) -> DualEncoder:
    model, processor = parts(name)
    guide = ClipGuide(model, processor, tokenizer(), name=name)
    return DualEncoder(guide, **options)


def classifier(name: str, **options: Any) -> Classifier:
    return Classifier(*parts(name), name=name, **options)
