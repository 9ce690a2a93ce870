"""Evaluation harnesses of others that judge "model + prompt": one file a harness.

A harness brings the task: pictures, words, options and how they are scored. What it asks goes
through `asking` to a frozen model of matboard's, behind a prompt or not.
"""

from __future__ import annotations

from typing import Any


def lmms_manifest() -> Any:
    """What lmms-eval is told through the entry point ``lmms_eval.models``: where its model
    ``matboard`` is. Imports nothing but lmms-eval's own description of models.
    """
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="matboard",
        simple_class_path="matboard.harnesses.lmms_eval.PromptedLmm",
    )
