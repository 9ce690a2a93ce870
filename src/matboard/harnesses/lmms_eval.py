"""matboard's models, behind a prompt or not, in lmms-eval:

    python -m lmms_eval --model matboard \\
        --model_args pretrained=tiny-minigpt4,prompt=runs/tvp_tiny/prompt --tasks …

Where both are installed lmms-eval finds it by itself, through an entry point. ``prompt=`` left out,
the same model answers about untouched pictures.

lmms-eval's own models give the mean loss of a continuation's tokens where its interface speaks of
log-likelihood, and its tasks take the smallest. So does this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lmms_eval.api.model import lmms
from PIL import Image

from matboard.errors import ModelError
from matboard.harnesses.asking import (
    Asked,
    answers,
    asked,
    likelihoods,
    load,
    size_of_batches,
)
from matboard.models.capabilities import FrozenModel
from matboard.prompts.artifact import VisualPrompt


class PromptedLmm(lmms):  # type: ignore[misc]
    """A frozen model for tasks about one picture.

    Args:
        pretrained: a zoo name, a folder or a Hub id; or a loaded model.
        prompt: a prompt's folder, PNG or Hub id; or a loaded one. None leaves pictures untouched.
        batch_size: questions that go through the model at once.
        device: where it runs; a GPU where there is one.
        options: further ones of `matboard.load_model`, such as ``dtype=bfloat16``.

    Raises:
        ModelError, PromptError, UnknownName: model or prompt cannot be had.
        ConfigError: a batch size that is no number.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str | FrozenModel,
        prompt: str | VisualPrompt | None = None,
        batch_size: int | str = 1,
        device: str | None = None,
        max_batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        del max_batch_size  # of a search for one, which is not taken part in
        self.batch_size = size_of_batches(batch_size)
        self.model = load(pretrained, prompt, device=device, **options)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """The mean loss of every continuation's tokens, and whether the model would say it."""
        pictures = _Pictures(self.task_dict)
        pairs = []
        for request in requests:
            context, target, *place = request.args
            document = pictures.document(*place[1:])
            said = target(document) if callable(target) else target
            pairs.append((pictures.asked(context, *place), str(said)))
        scored = likelihoods(self.model, pairs, self.batch_size)
        return [(score.loss, score.greedy) for score in scored]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Greedy answers."""
        pictures = _Pictures(self.task_dict)
        pairs = []
        for request in requests:
            context, rules, *place = request.args
            pairs.append((pictures.asked(context, *place), rules))
        return list(answers(self.model, pairs, self.batch_size))

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Raises ModelError: matboard's models answer one question."""
        del requests
        raise ModelError(
            "A task asks in several rounds; matboard's models answer one question about one"
            " picture. Choose tasks of one round."
        )


class _Pictures:
    """The pictures of documents, each fetched once: its identity tells a document's requests."""

    def __init__(self, tasks: Any) -> None:
        self._tasks = tasks
        self._fetched: dict[tuple[Any, ...], list[Image.Image]] = {}

    def document(self, number: int, task: str, split: str) -> Any:
        return self._tasks[task][split][number]

    def asked(
        self, context: str, to_visual: Any, number: int, task: str, split: str
    ) -> Asked:
        place = (number, task, split)
        if place not in self._fetched:
            self._fetched[place] = to_visual(self.document(*place))
        return asked(context, self._fetched[place])
