"""A finished study of pixel prompts, read back: what came out of it, and what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matboard.errors import RunError
from matboard.results import TransferResults, read
from matboard.results.transfer import Precision
from matboard.runs import Run
from matboard.studies.config import EvaluateConfig, ModelConfig, StudyConfig
from matboard.studies.loading import load_distinct, with_options
from matboard.studies.planning import judged_configs
from matboard.studies.reading import parse
from matboard.tasks.task import Task


@dataclass(frozen=True)
class Finished:
    """A finished study.

    Attributes:
        folder: its run folder.
        judged: the tasks that it was judged on, in its results' order.
        models: name → what that model was loaded with, where the study says.
        precision: in which models were judged.
    """

    folder: Path
    results: TransferResults
    judged: Sequence[Task]
    models: Mapping[str, ModelConfig]
    precision: Precision

    @classmethod
    def read(cls, folder: Path) -> Finished:
        """Raises RunError where there is no such study, and TaskError or UnknownName where a task
        is gone.
        """
        results = read(folder)
        if not isinstance(results, TransferResults):
            raise RunError(
                f"{folder} holds no study of pixel prompts (it holds a {results.kind}); give the"
                " run folder of fit, evaluate or demo."
            )
        asked = Run(folder).config()
        models: Mapping[str, ModelConfig] = {}
        if "sources" in asked:
            config = parse(StudyConfig, asked, str(folder))
            tasks = judged_configs(config)
            models = config.models
        else:
            under = asked.get("evaluate", {})
            evaluating = parse(EvaluateConfig, under, str(folder), under="evaluate")
            tasks = evaluating.tasks
            told = parse(ModelConfig, asked.get("options", {}), str(folder))
            models = with_options({}, evaluating.models, told)
        precision = results.precision or "float32"
        return cls(folder, results, load_distinct(tasks), models, precision)
