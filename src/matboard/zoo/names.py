"""What the zoo holds, said without loading torch."""

from __future__ import annotations

from pathlib import Path

TINY = {
    "tiny-minigpt4": "eye, Q-Former, LLaMA",
    "tiny-instructblip": "the same eye, a Q-Former that reads the question, LLaMA",
    "tiny-blip2": "an eye of its own, Q-Former, T5",
    "tiny-vpgtrans": "the eye of tiny-minigpt4, Q-Former, a narrower LLaMA",
    "tiny-bliva": "the same eye, Q-Former and patch tokens, LLaMA",
    "tiny-visualglm": "an eye of its own, Q-Former, GLM",
}
MINI = {
    "mini-llava-clip112": "CLIP ViT-B/16 at 112 px, MLP, SmolLM2-135M",
    "mini-llava-cnn": "EfficientNet-Lite0, MLP, SmolLM2-135M",
    "mini-minigpt4-clip224": "CLIP ViT-B/16 at 224 px, Q-Former, a small language model of our own",
    "mini-instructblip-clip112": (
        "CLIP ViT-B/16 at 112 px, a Q-Former that reads the question, a small language model of"
        " our own"
    ),
    "mini-bliva-cnn": (
        "EfficientNet-Lite0, Q-Former and patch tokens, a small language model of our own"
    ),
}
TINY_GUIDE = "tiny-guide"
MINI_GUIDE = "mini-guide"
GUIDES = {
    TINY_GUIDE: "a dual encoder: CLIP in small, trained on scenes; serves as a guide too",
    MINI_GUIDE: (
        "a dual encoder: CLIP ViT-B/16's image tower, a text side fitted to it; serves as a guide"
        " too"
    ),
}
"""They are judged like other models, and TVP's semantic enrichment is steered by them."""
MINI_CLASSIFIER = "mini-classifier"
CLASSIFIERS = {
    MINI_CLASSIFIER: "a classifier: EfficientNet-Lite0 at 112 px, its 1000 classes of ImageNet",
}
BACKBONES = {
    "tiny-vit": (
        "tiny-guide's eye: a ViT 80 wide with 4 blocks, trained on scenes, inside the package"
    ),
    "clip-vit-b16": (
        "CLIP ViT-B/16's image tower (from the Hub or a wheel, 170 MB, fetched when first used)"
    ),
}
"""Vision backbones of the continual half."""


def describe(cache: Path) -> list[str]:
    """One line a model: name, what it is, whether it is ready."""
    lines = []
    for name, what in {**TINY, TINY_GUIDE: GUIDES[TINY_GUIDE]}.items():
        lines.append(f"{name:26}shipped    {what}")
    guide = {MINI_GUIDE: GUIDES[MINI_GUIDE]}
    for name, what in {**MINI, **guide, **CLASSIFIERS}.items():
        lines.append(f"{name:26}{_state(folder_of(name, cache))}{what}")
    return lines


def folder_of(name: str, cache: Path) -> Path:
    """Where a model of the mini zoo lies once it is built."""
    return cache / "zoo" / name


def _state(folder: Path) -> str:
    return "built      " if (folder / "config.json").exists() else "to build   "
