"""matboard's models, behind a prompt or not, in EleutherAI's lm-evaluation-harness:

    python -m matboard.harnesses.lm_eval run --model matboard \\
        --model_args pretrained=tiny-minigpt4,prompt=runs/tvp_tiny/prompt --tasks …

is the harness's own command line with one model more. ``prompt=`` left out, the same model answers
about untouched pictures. From Python importing this file is enough: ``simple_evaluate(model=
"matboard", model_args={…})``, or ``simple_evaluate(model=PromptedLM(model, prompt))``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from matboard.errors import ConfigError, MatboardError, ModelError
from matboard.extras import needed
from matboard.harnesses.asking import Judged, answers, asked, likelihoods

with needed():
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model


@register_model("matboard")
class PromptedLM(Judged, LM):  # type: ignore[misc]
    """See `Judged`."""

    MULTIMODAL = True

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Log-likelihood of every continuation, and whether the model would say it."""
        questions = [_asked(request) for request in requests]
        continuations = [request.args[1] for request in requests]
        found = []
        pairs = list(zip(questions, continuations))
        scored = likelihoods(self.model, pairs, self.batch_size)
        for request, score in zip(requests, scored):
            found.append((score.log_likelihood, score.greedy))
            self.cache_hook.add_partial("loglikelihood", request.args, found[-1])
        return found

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Greedy answers."""
        questions = [_asked(request) for request in requests]
        rules = [request.args[1] for request in requests]
        found = []
        said = answers(self.model, list(zip(questions, rules)), self.batch_size)
        for request, answer in zip(requests, said):
            found.append(answer)
            self.cache_hook.add_partial("generate_until", request.args, answer)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Raises ModelError: a text alone has no picture."""
        del requests
        raise ModelError(
            "A task asks how likely texts are by themselves; matboard's models answer questions"
            " about a picture. Choose tasks with pictures."
        )

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Raises ConfigError: questions are asked in the model's own template already."""
        raise ConfigError(
            f"{self.model.name} is asked in its own template already; leave out"
            " --apply_chat_template."
        )

    @property
    def tokenizer_name(self) -> str:
        """What the harness tells caches apart by."""
        return f"{self.model.name} {self.model.settings}"

    def get_model_info(self) -> dict[str, Any]:
        """What the harness writes down beside its results."""
        return {
            "model_name": self.model.name,
            "model_weights": self.model.weights,
            "model_settings": self.model.settings,
        }


def _asked(request: Any) -> Any:
    told = request.args[2] if len(request.args) > 2 else {}
    return asked(request.args[0], told.get("visual"))


def main() -> None:
    """The harness's own command line. What is wrong with the input is one sentence."""
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except MatboardError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
