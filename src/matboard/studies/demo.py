"""The demo's studies: both jobs on models and pictures that come with the package."""

from __future__ import annotations

from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.reading import parse
from matboard.zoo.names import TINY

TASK = "scenes-recognition/noise"
_EVP = {"lr": 60.0, "schedule": "cosine"}
METHODS = {
    "vp": {},
    "evp": _EVP,
    "tvp": {
        **_EVP,
        "objective.feature_consistency.weight": 0.0002,
        "objective.semantic_enrichment.weight": 2.0,
    },
    "matboard": {},
}
"""Picked on a validation split of the training scenes, see docs/log.md."""


def demo_config() -> StudyConfig:
    """Four ways of learning a border on tiny-MiniGPT-4, judged on the whole tiny zoo."""
    asked = {
        "title": "A border learned on tiny-MiniGPT-4, judged on five models that never saw it",
        "sources": ["tiny-minigpt4"],
        "guide": "tiny-guide",
        "task": {"name": TASK, "train": 512, "test": 300},
        "methods": METHODS,
        "steps": 200,
        "validation": {"limit": 60},
        "evaluate": {"models": list(TINY)},
    }
    return parse(StudyConfig, asked, "demo")


def continual_demo_config() -> ContinualConfig:
    """A pool, a calibrated residual generator, a fine-tuned head and two controls over ten tasks of
    coloured shapes.
    """
    asked = {
        "title": (
            "Ten tasks, one after the other: what a prompt pool keeps and a fine-tuned head forgets"
        ),
        "task": {"name": "scenes-things", "train": 480, "test": 240},
        "stream": {"tasks": 10},
        "backbone": {"model": "tiny-vit"},
        "reference": "fine-tune",
        "training": {"epochs": 3, "lr": 0.02, "augment": False},
        "learners": {
            "fine-tune": {"epochs": 10},
            "l2p": {},
            "image-prompt": {"side": 20},
            "residual-generator": {},
            "class-means": {},
            "ridge": {},
            "rp-ridge": {"projection": 500},
        },
    }
    return parse(ContinualConfig, asked, "demo")
