"""What every harness asks of a model, in matboard's terms.

=====================  ===========================================================================
theirs                 ours
=====================  ===========================================================================
context                the question, its mark for the picture taken out
visuals                one picture
continuation           a candidate; its leading space belongs to the prompt
log-likelihood         summed over the candidate's tokens, in nats
is greedy              whether the model, answering in its own words, says exactly this
=====================  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from PIL import Image

from matboard.errors import ConfigError, ModelError
from matboard.models.capabilities import (
    FrozenModel,
    Generates,
    HasLikelihoods,
    Ranks,
    require,
)
from matboard.models.prompted import PromptedModel
from matboard.prompts.artifact import VisualPrompt, load_prompt
from matboard.zoo import load_model

MARK = "<image>"
"""Where harnesses say that a picture stands."""

MOST = 256
"""Tokens of an answer where a task does not say; lm-evaluation-harness's own number."""


@dataclass(frozen=True)
class Asked:
    """A question about a picture."""

    picture: Image.Image
    question: str


@dataclass(frozen=True)
class Scored:
    """What a model makes of a continuation.

    Attributes:
        log_likelihood: summed over its tokens, in nats.
        tokens: how many it has; 1 for a model without tokens.
        greedy: whether the model says it when it answers freely; False for one that cannot.
    """

    log_likelihood: float
    tokens: int
    greedy: bool

    @property
    def loss(self) -> float:
        """The mean negative log-likelihood of its tokens."""
        return -self.log_likelihood / self.tokens


def load(
    pretrained: str | FrozenModel,
    prompt: str | VisualPrompt | None,
    device: str | None = None,
    **options: Any,
) -> FrozenModel:
    """A model as harnesses name it, behind a prompt where one is named.

    Args:
        pretrained: a zoo name, a folder or a Hub id; or a loaded model.
        prompt: a prompt's folder, PNG or Hub id; or a loaded one. None leaves pictures untouched.
        device: where the model runs. Harnesses say ``cuda:0`` unasked: without a GPU it is not
            heeded.
        options: further ones of `matboard.load_model`.

    Raises:
        ModelError, PromptError, UnknownName: one of them cannot be had.
    """
    model = pretrained
    if isinstance(model, str):
        if device is not None and (torch.cuda.is_available() or "cuda" not in device):
            options["device"] = device
        model = load_model(model, **options)
    if prompt is None:
        return model
    if not isinstance(prompt, VisualPrompt):
        prompt = load_prompt(prompt)
    behind: Any = PromptedModel(model, prompt)
    return behind  # type: ignore[no-any-return]


class Judged:
    """A frozen model for tasks about one picture; a harness's own class of models is derived beside
    it.

    Args:
        pretrained: a zoo name, a folder or a Hub id; or a loaded model.
        prompt: a prompt's folder, PNG or Hub id; or a loaded one. None leaves pictures untouched.
        batch_size: questions that go through the model at once.
        device: where it runs; a GPU where there is one.
        max_batch_size: of a harness's search for one, which is not taken part in.
        options: further ones of `matboard.load_model`, such as ``dtype=bfloat16``.

    Raises:
        ModelError, PromptError, UnknownName: model or prompt cannot be had.
        ConfigError: a batch size that is no number.
    """

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
        del max_batch_size
        self.batch_size = size_of_batches(batch_size)
        self.model = load(pretrained, prompt, device=device, **options)


def size_of_batches(told: int | str) -> int:
    """How many questions go through a model at once. Raises ConfigError."""
    if not str(told).isdecimal() or not int(told):
        raise ConfigError(f"A batch size of {told!r} came; expected a number from 1.")
    return int(told)


def asked(context: str, visuals: Any) -> Asked:
    """A question about one picture, out of what a harness hands over.

    Raises ModelError where there is not exactly one picture: matboard's models answer about one.
    """
    pictures = [visuals] if isinstance(visuals, Image.Image) else list(visuals or ())
    if len(pictures) != 1 or not isinstance(pictures[0], Image.Image):
        kinds = ", ".join(type(one).__name__ for one in pictures) or "none"
        raise ModelError(
            f"A request came with {len(pictures)} visuals ({kinds}); matboard's models answer"
            " questions about one picture. Choose tasks of one picture, without few-shot examples."
        )
    return Asked(pictures[0], context.replace(MARK, "").strip())


def likelihoods(
    model: FrozenModel, requests: Sequence[tuple[Asked, str]], batch_size: int
) -> Iterator[Scored]:
    """Every continuation's likelihood, in order.

    Neighbouring requests about one picture and question are its candidates: the picture is encoded
    once for all of them. Raises ModelError for a model that cannot rank.
    """
    ranks = require(model, Ranks, doing="a task of log-likelihoods")

    def place(request: tuple[Asked, str]) -> tuple[int, str]:
        return id(request[0].picture), request[0].question

    together = [list(rows) for _, rows in groupby(requests, key=place)]
    for _, alike in groupby(together, key=len):
        rows = list(alike)
        for start in range(0, len(rows), batch_size):
            yield from _scored(ranks, rows[start : start + batch_size])


def _scored(model: Ranks, rows: list[list[tuple[Asked, str]]]) -> Iterator[Scored]:
    """Of pictures with equally many continuations each."""
    pictures = [row[0][0].picture for row in rows]
    questions = [row[0][0].question for row in rows]
    candidates = [[continuation.strip() for _, continuation in row] for row in rows]
    with torch.no_grad():
        if not isinstance(model, HasLikelihoods):
            sums = model.candidate_log_likelihoods(
                pictures, questions, candidates, length_normalised=False
            )
            yield from (Scored(value, 1, False) for value in sums.flatten().tolist())
            return
        first = [options[0] for options in candidates]
        answer = model.answer(pictures, questions, first, candidates=candidates)
        compared = answer.compared
        assert compared is not None
        lengths = compared.token_count.tolist()
        said = {
            tokens: model.generate(pictures, questions, max_new_tokens=tokens)
            for tokens in {length for row in lengths for length in row}
            if isinstance(model, Generates)
        }
    found = compared.log_likelihood.tolist()
    for row, options in enumerate(candidates):
        for column, option in enumerate(options):
            tokens = lengths[row][column]
            greedy = tokens in said and said[tokens][row] == option
            yield Scored(found[row][column], tokens, greedy)


def answers(
    model: FrozenModel,
    requests: Sequence[tuple[Asked, Mapping[str, Any]]],
    batch_size: int,
) -> Iterator[str]:
    """Greedy answers, in order, each cut where its request says.

    Args:
        requests: each question with what a harness says of generation: ``until``, and
            ``max_gen_toks`` or ``max_new_tokens``.

    Raises:
        ModelError: the model cannot generate.
        ConfigError: sampling or beams are asked for; answers here are greedy.
    """
    speaks = require(model, Generates, doing="a task of free answers")
    ruled = [(request, Ending.of(told)) for request, told in requests]
    for tokens, alike in groupby(ruled, key=lambda row: row[1].tokens):
        rows = list(alike)
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            pictures = [request.picture for request, _ in part]
            questions = [request.question for request, _ in part]
            with torch.no_grad():
                said = speaks.generate(pictures, questions, max_new_tokens=tokens)
            yield from (rule.cut(text) for text, (_, rule) in zip(said, part))


@dataclass(frozen=True)
class Ending:
    """Where an answer ends.

    Attributes:
        tokens: at most so many.
        until: before the first of these.
    """

    tokens: int
    until: tuple[str, ...]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Ending:
        """As a harness says it. Raises ConfigError for what is not greedy."""
        beams = told.get("num_beams") or 1
        if told.get("do_sample") or (told.get("temperature") or 0) > 0 or beams > 1:
            raise ConfigError(
                f"A task asks for sampling or beams ({dict(told)}); matboard's models answer"
                " greedily. Set do_sample: false, temperature: 0 and num_beams: 1."
            )
        until = told.get("until") or ()
        ends = (until,) if isinstance(until, str) else tuple(until)
        most = told.get("max_gen_toks") or told.get("max_new_tokens") or MOST
        return cls(int(most), tuple(end for end in ends if end))

    def cut(self, text: str) -> str:
        """An answer up to its end."""
        for end in self.until:
            text = text.split(end)[0]
        return text
