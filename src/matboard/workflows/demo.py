"""The demo's study: the main job on models and pictures that come with the package."""

from __future__ import annotations

from matboard.workflows.config import StudyConfig, parse
from matboard.zoo.names import TINY

TASK = "scenes-recognition/noise"
_EVP = {"lr": 30.0, "schedule": "cosine"}
METHODS = {"vp": {"lr": 3.0}, "evp": _EVP, "tvp": {**_EVP, "consistency_weight": 0.0002, "enrichment_weight": 0.01}}
"""Picked on a validation split of the training scenes, see docs/log.md."""


def demo_config() -> StudyConfig:
    """VP, EVP and TVP learned on tiny-MiniGPT-4, judged on the whole tiny zoo."""
    asked = {
        "title": "A border learned on tiny-MiniGPT-4, judged on five models that never saw it",
        "sources": ["tiny-minigpt4"],
        "guide": "tiny-guide",
        "task": {"name": TASK, "train": 512, "test": 300},
        "methods": METHODS,
        "steps": 100,
        "evaluate": {"models": list(TINY)},
    }
    return parse(StudyConfig, asked, "demo")
