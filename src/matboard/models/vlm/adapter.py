"""One adapter for every transformers image-text-to-text family.

A model is driven in two steps that all families share: its eye encodes the pictures (`encode`),
then its language model reads the prompts (`prompt`, `official`, `decode`). What differs between
families is in their files (`matboard.models.families`).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from matboard.errors import ModelError
from matboard.models.capabilities import (
    Answers,
    Compared,
    Pictures,
    VisionLanguageModel,
)
from matboard.models.counts import common_count, same_count
from matboard.models.families import family_of, layout_of
from matboard.models.processors.check import PROBES, probe, to_tensor
from matboard.models.processors.preprocessor import Preprocessor
from matboard.models.vlm.decode import Prefill, language_model_of
from matboard.models.vlm.encode import (
    Batch,
    Encoded,
    encode,
    features,
    fingerprint,
    taps_of,
)
from matboard.models.vlm.fusion import Placed, Prompts
from matboard.models.vlm.official import QUESTION, OfficialPrompts, mark_of
from matboard.models.vlm.prompt import PromptIds, PromptTemplate, image_token, padded
from matboard.models.vlm.rank import log_likelihood, rank, rank_whole


class HuggingFaceVLM(VisionLanguageModel):
    """A frozen transformers vision-language model.

    Args:
        model: an image-text-to-text model; it is set to eval mode and its parameters stop requiring
            gradients.
        image_processor: its official image processor (PIL backend).
        tokenizer: its language model's tokenizer.
        qformer_tokenizer: the Q-Former's, where the Q-Former reads the question (InstructBLIP,
            BLIVA).
        official: its own processor, as `loading.assemble` puts it together; where there is none, or
            it does not work, the family's text is used.
        template: the prompt; see `PromptTemplate`.
        name: as the user calls the model.

    Raises:
        ModelError: the model lacks what is needed to drive it; the sentence names it.
    """

    def __init__(
        self,
        model: Any,
        image_processor: Any,
        tokenizer: Any,
        qformer_tokenizer: Any = None,
        *,
        official: Any = None,
        template: str | None = None,
        name: str = "",
    ) -> None:
        self.family = family_of(model)
        self.fusion = self.family.fusion(model.eval().requires_grad_(False))
        self.reads_question = "qformer_input_ids" in self.fusion.inputs
        if self.reads_question and qformer_tokenizer is None:
            raise ModelError(
                f"{type(model).__name__} has a Q-Former that reads the question: give its"
                " qformer_tokenizer."
            )
        self.name = name or model.config.name_or_path or model.config.model_type
        self.taps = taps_of(model)
        self.model = model
        self.tokenizer = tokenizer
        self.qformer_tokenizer = qformer_tokenizer
        self.language = language_model_of(self.fusion, self.family)
        self.template = self._template(official, template)
        self._official = self._official_prompts(official)
        forced = {} if self._official is None else self._official.image_settings()
        settings = {**forced, **self.family.settings(model)}
        self.preprocess = Preprocessor(
            image_processor, layout_of(image_processor), settings
        )

    @cached_property
    def encoder(self) -> str:  # type: ignore[override]
        """Fingerprint of the vision encoder's weights."""
        return fingerprint(self.fusion.eye)

    @cached_property
    def weights(self) -> str:  # type: ignore[override]
        """Fingerprint of all weights."""
        return fingerprint(self.model)

    @property
    def refusal(self) -> str | None:
        """See `Learnable.refusal`: the image processor has no faithful differentiable version, the
        prompts are a guess, or the eye passes no gradient.
        """
        if not self.guesses:
            return self.preprocess.refusal or self._eye_refusal
        guess = (
            f"How {type(self.model).__name__} is asked is not known here, and its own processor"
            " cannot be used: its prompts are matboard's guess, and it may answer worse than it"
            " could. Install what its processor needs, or add its family."
        )
        return " ".join(said for said in (guess, self.preprocess.refusal) if said)

    @cached_property
    def _eye_refusal(self) -> str | None:
        kind = type(self.model).__name__
        try:
            reached = self._encode(_canvas(), [QUESTION]).tokens[0].requires_grad
        except (
            Exception
        ) as error:  # anybody's code; a model whose eye fails here still loads
            return (
                f"{kind} cannot encode a canvas: {' '.join(str(error).split())[:300]}"
            )
        if not reached:
            return f"No gradient passes through the vision encoder of {kind} to the pixels."
        return None

    @property
    def guesses(self) -> bool:
        """Whether nobody says how the model is asked: neither its family nor its own processor."""
        return not self.family.written and not self.asks_officially

    @cached_property
    def asks_officially(self) -> bool:
        """Whether the prompts are the official processor's: it works, and leaves as much room for a
        picture as the eye needs.
        """
        if self._official is None:
            return False
        picture = probe(*PROBES[0])
        try:
            asked = self._official.ids(QUESTION, picture.size)
            inputs = self._inputs([picture], [QUESTION])
            encoded = encode(self.fusion, self.family, inputs, Batch(1, alike=True))
        except Exception:  # anybody's code; where it fails the family's text is used
            return False
        return self._room(asked) == self._needed(encoded)

    def answer(
        self,
        images: Pictures,
        questions: Sequence[str],
        answers: Sequence[str],
        *,
        taps: Sequence[str] = (),
        terminator: bool = False,
        candidates: Sequence[Sequence[str]] | None = None,
    ) -> Answers:
        """See `HasLikelihoods.answer`. Raises ModelError for unequal counts or an empty answer,
        UnknownName for a tap.

        An answer that is one of its candidates is read off them, unless its terminator is wanted.
        """
        same_count(images, questions, answers)
        if candidates is not None:
            same_count(images, candidates)
            common_count(candidates)
        if self._one_at_a_time(images):
            options: dict[str, Any] = {"taps": taps, "terminator": terminator}
            parts = []
            for row, picture in enumerate(images):
                own = slice(row, row + 1)
                options["candidates"] = None if candidates is None else candidates[own]
                part = self.answer([picture], questions[own], answers[own], **options)
                parts.append(part)
            return _joined(parts)
        encoded = self._encode(images, questions)
        prompts = self._prompts(encoded, images, questions)
        compared = None
        found = None
        if candidates is not None:
            compared = self._compare(prompts, questions, candidates)
            found = None if terminator else _read_off(compared, answers, candidates)
        likelihood, counts = found or self._score(
            prompts, questions, answers, terminator
        )
        taken = {tap: features(self.model, encoded, tap) for tap in taps}
        return Answers(-likelihood, counts, taken, compared)

    def _score(
        self,
        prompts: Prompts,
        questions: Sequence[str],
        answers: Sequence[str],
        terminator: bool,
    ) -> tuple[Tensor, Tensor]:
        """Log-likelihood and number of tokens of one answer each."""
        ids = [
            self.template.answer_ids(q, a, terminator)
            for q, a in zip(questions, answers)
        ]
        logits = self.language.score(prompts, ids)
        wanted, mask = padded(ids, "right", logits.device)
        return log_likelihood(logits, wanted, mask), mask.sum(1)

    def candidate_log_likelihoods(
        self,
        images: Pictures,
        questions: Sequence[str],
        candidates: Sequence[Sequence[str]],
        *,
        length_normalised: bool = True,
    ) -> Float[Tensor, "batch candidate"]:
        """See `Ranks.candidate_log_likelihoods`. Raises ModelError for unequal counts or an empty
        candidate.

        Every prompt is read once: its last logits score each candidate's first token, its keys and
        values serve the rest. Where a model keeps more than keys and values, every candidate is
        read with its prompt.
        """
        same_count(images, questions, candidates)
        common_count(candidates)
        if self._one_at_a_time(images):
            each = zip(images, questions, candidates)
            rule = {"length_normalised": length_normalised}
            rows = [
                self.candidate_log_likelihoods([p], [q], [c], **rule)
                for p, q, c in each
            ]
            return torch.cat(rows)
        prompts = self.read(images, questions)
        compared = self._compare(prompts, questions, candidates)
        return compared.scores if length_normalised else compared.log_likelihood

    def _compare(
        self,
        prompts: Prompts,
        questions: Sequence[str],
        candidates: Sequence[Sequence[str]],
    ) -> Compared:
        ids = [
            [self.template.answer_ids(question, option, False) for option in options]
            for question, options in zip(questions, candidates)
        ]
        prefill = self.language.prefill(prompts)
        if prefill.reusable:
            sums = rank(self.language, prefill, ids)
        else:
            sums = rank_whole(self.language, prompts, ids)
        lengths = [[len(option) for option in options] for options in ids]
        return Compared(sums, torch.tensor(lengths, device=sums.device))

    def generate(
        self, images: Pictures, questions: Sequence[str], *, max_new_tokens: int = 16
    ) -> list[str]:
        """See `Generates.generate`. Raises ModelError for unequal counts."""
        same_count(images, questions)
        if self._one_at_a_time(images):
            each = zip(images, questions)
            return [
                self.generate([p], [q], max_new_tokens=max_new_tokens)[0]
                for p, q in each
            ]
        with torch.no_grad():
            prefill = self.language.prefill(self.read(images, questions))
            said = self._continue(prefill, max_new_tokens)
        return [self.spelled(row[:max_new_tokens]) for row in said.tolist()]

    def read(self, images: Pictures, questions: Sequence[str]) -> Prompts:
        """The prompts with their encoded pictures, as the language model is given them."""
        return self._prompts(self._encode(images, questions), images, questions)

    def _continue(self, prefill: Prefill, most: int) -> Tensor:
        """The likeliest tokens, one after the other, until every row has ended."""
        last = prefill.logits.argmax(-1, keepdim=True)
        ends = torch.tensor(sorted(self.ends), device=last.device)
        said = [last]
        ended = torch.isin(last, ends)
        while len(said) < most and not ended.all():
            _, prefill = self.language.decode(prefill, last, torch.ones_like(last))
            last = prefill.logits.argmax(-1, keepdim=True)
            said.append(last)
            ended = ended | torch.isin(last, ends)
        return torch.cat(said, dim=1)

    def visual_features(
        self, images: Pictures, tap: str, questions: Sequence[str] | None = None
    ) -> Float[Tensor, "batch token dim"]:
        """See `HasFeatures.visual_features`. Raises UnknownName, and ModelError where pictures
        differ in token count.
        """
        asked = questions or [""] * len(images)
        return features(self.model, self._encode(images, asked), tap)

    def _template(self, official: Any, template: str | None) -> PromptTemplate:
        token = ""
        if self.family.picture:
            token = image_token(
                self.tokenizer, getattr(self.model.config, "image_token_id", None)
            )
        mark = None if self.family.written else mark_of(official)
        return PromptTemplate(self.tokenizer, self.family, token, template, mark)

    def _official_prompts(self, official: Any) -> OfficialPrompts | None:
        if official is None:
            return None
        index = getattr(getattr(self.model, "model", None), "get_rope_index", None)
        types = set(self.language.accepts)
        if index is not None:
            types.update(inspect.signature(index).parameters)
        return OfficialPrompts(official, self.template, types)

    def _one_at_a_time(self, images: Pictures) -> bool:
        """Whether nobody would know which visual tokens belong to which picture of a batch."""
        return len(images) > 1 and self.guesses and not _alike(images)

    def _inputs(self, images: Pictures, questions: Sequence[str]) -> dict[str, Tensor]:
        eye = next(self.fusion.eye.parameters(), None)
        dtype = self.model.dtype if eye is None else eye.dtype
        inputs = self.preprocess(images, self.model.device, dtype)
        if self.reads_question:
            rows = [
                self.qformer_tokenizer(self.template.instruction(question))["input_ids"]
                for question in questions
            ]
            ids, mask = padded(rows, "right", self.model.device)
            inputs |= {"qformer_input_ids": ids, "qformer_attention_mask": mask}
        return inputs

    def _encode(self, images: Pictures, questions: Sequence[str]) -> Encoded:
        placeholders = None
        if self.asks_officially and isinstance(self.fusion, Placed):
            placeholders = [
                self._room(asked) for asked in self._asked(images, questions)
            ]
        batch = Batch(len(images), _alike(images), placeholders)
        return encode(self.fusion, self.family, self._inputs(images, questions), batch)

    def _asked(self, images: Pictures, questions: Sequence[str]) -> list[PromptIds]:
        """The prompts as the official processor writes them."""
        assert self._official is not None
        return [
            self._official.ids(q, size) for q, size in zip(questions, _sizes(images))
        ]

    def _prompts(
        self, encoded: Encoded, images: Pictures, questions: Sequence[str]
    ) -> Prompts:
        if self.asks_officially:
            asked = self._asked(images, questions)
        else:
            each = zip(questions, encoded.pictures)
            asked = [self.template.ids(question, picture) for question, picture in each]
        side = self.language.padding
        ids, mask = padded([prompt.ids for prompt in asked], side, self.model.device)
        types = {
            name: padded(
                [prompt.types[name] for prompt in asked], side, self.model.device
            )[0]
            for name in asked[0].types
        }
        visual = torch.cat(encoded.tokens)
        return Prompts(ids, mask, encoded.output, visual, encoded.inputs, types)

    def _room(self, asked: PromptIds) -> int:
        """Image tokens in a prompt."""
        return asked.ids.count(getattr(self.model.config, "image_token_id", None))

    def _needed(self, encoded: Encoded) -> int:
        """Image tokens that the prompt of one encoded picture needs."""
        if isinstance(self.fusion, Placed):
            return len(encoded.tokens[0])
        return self.family.picture.count("{token}")

    @cached_property
    def ends(self) -> set[int]:
        """The tokens that end an answer."""
        ends = getattr(
            getattr(self.model, "generation_config", None), "eos_token_id", None
        )
        listed = ends if isinstance(ends, list) else [ends]
        return {int(end) for end in (*listed, self.template.end) if end is not None}

    def spelled(self, ids: Sequence[int]) -> str:
        """An answer's tokens as text, up to its end."""
        end = next((i for i, token in enumerate(ids) if token in self.ends), len(ids))
        return str(self.tokenizer.decode(ids[:end], skip_special_tokens=True)).strip()


def _canvas() -> Tensor:
    return to_tensor([probe(*PROBES[0])]).requires_grad_()


def _sizes(images: Pictures) -> list[tuple[int, int]]:
    """Width and height of each picture."""
    if isinstance(images, Tensor):
        return [(int(images.shape[-1]), int(images.shape[-2]))] * len(images)
    return [picture.size for picture in images]


def _alike(images: Pictures) -> bool:
    return len(set(_sizes(images))) == 1


def _read_off(
    compared: Compared, answers: Sequence[str], candidates: Sequence[Sequence[str]]
) -> tuple[Tensor, Tensor] | None:
    """Log-likelihood and number of tokens of the answers, where all are among the candidates."""
    listed = [list(options) for options in candidates]
    if not all(answer in options for answer, options in zip(answers, listed)):
        return None
    places = [options.index(answer) for answer, options in zip(answers, listed)]
    rows = torch.arange(len(places), device=compared.token_count.device)
    own = rows, torch.tensor(places, device=rows.device)
    return compared.log_likelihood[own], compared.token_count[own]


def _joined(parts: Sequence[Answers]) -> Answers:
    taken = {
        tap: torch.cat([part.features[tap] for part in parts])
        for tap in parts[0].features
    }
    losses = torch.cat([part.negative_log_likelihood for part in parts])
    counts = torch.cat([part.token_count for part in parts])
    compared = None
    each = [part.compared for part in parts if part.compared is not None]
    if each:
        sums = torch.cat([one.log_likelihood for one in each])
        compared = Compared(sums, torch.cat([one.token_count for one in each]))
    return Answers(losses, counts, taken, compared)
