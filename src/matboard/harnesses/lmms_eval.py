"""matboard's models, behind a prompt or not, in lmms-eval:

    python -m lmms_eval --model matboard \\
        --model_args pretrained=tiny-minigpt4,prompt=runs/tvp_tiny/prompt --tasks …

Where both are installed lmms-eval finds it by itself, through an entry point. ``prompt=`` left out,
the same model answers about untouched pictures.

lmms-eval's own models give the mean loss of a continuation's tokens where its interface speaks of
log-likelihood, and its tasks take the smallest. So does this one. Of what a model returns its
evaluator (0.7.3) makes text, pairs of numbers too, which stops in its post-processing; only what a
`GenerationResult` holds is left as it is. So pairs are put in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lmms_eval.api.instance import GenerationResult
from lmms_eval.api.model import lmms
from PIL import Image

from matboard.errors import ModelError
from matboard.harnesses.asking import Asked, Judged, answers, asked, likelihoods


class PromptedLmm(Judged, lmms):  # type: ignore[misc]
    """See `Judged`."""

    is_simple = True

    def loglikelihood(self, requests: Sequence[Any]) -> list[GenerationResult]:
        """The mean loss of every continuation's tokens, and whether the model would say it."""
        pictures = _Pictures(self.task_dict)
        pairs = []
        for request in requests:
            context, target, *place = request.args
            document = pictures.document(*place[1:])
            said = target(document) if callable(target) else target
            pairs.append((pictures.asked(context, *place), str(said)))
        scored = likelihoods(self.model, pairs, self.batch_size)
        return [GenerationResult((score.loss, score.greedy)) for score in scored]

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
