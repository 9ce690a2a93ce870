"""matboard: visual prompts, small inputs learned once that make frozen vision models better at a
task.

Importing this package loads nothing heavy; each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

PUBLIC = {
    "AccuracyMatrix": "matboard.metrics",
    "Canvas": "matboard.prompts.canvas",
    "Fit": "matboard.transfer.fit",
    "FrozenEye": "matboard.continual.eye",
    "GradientDescent": "matboard.transfer.optimisers",
    "MatboardError": "matboard.errors",
    "NormalisedGradient": "matboard.transfer.optimisers",
    "Objective": "matboard.transfer.terms",
    "PixelPrompt": "matboard.prompts.pixel",
    "PromptStudy": "matboard.studies.in_python",
    "PromptedModel": "matboard.models.prompted",
    "Sample": "matboard.tasks.task",
    "Schedule": "matboard.transfer.optimisers",
    "StreamStudy": "matboard.studies.in_python",
    "Task": "matboard.tasks.task",
    "TransferTable": "matboard.transfer.evaluate",
    "Validation": "matboard.transfer.validation",
    "VisualPrompt": "matboard.prompts.artifact",
    "build_learner": "matboard.continual.build",
    "class_incremental": "matboard.tasks.stream",
    "evaluate": "matboard.transfer.evaluate",
    "fit": "matboard.transfer.fit",
    "load_backbone": "matboard.zoo",
    "load_guide": "matboard.zoo",
    "load_model": "matboard.zoo",
    "load_prompt": "matboard.prompts.artifact",
    "load_task": "matboard.tasks",
    "run_stream": "matboard.continual.protocol",
    "study": "matboard.studies.in_python",
    "study_stream": "matboard.studies.in_python",
}
__all__ = ["__version__", *PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'matboard' has no attribute {name!r}")
    from matboard.extras import needed

    with needed():
        return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
