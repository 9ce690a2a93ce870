"""One adapter for every transformers image-text-to-text family.

A model is driven in two steps that all families share: its eye encodes the pictures (`seeing`),
then its language model reads the prompts (`wording`, `speaking`). What differs between families is
a table (`families`), how pictures are prepared (`twins`), how the eye tells the language model what
it saw (`joining`) and whether that is a decoder or has an encoder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.utils import cached_file

from matboard.errors import ModelError
from matboard.hub import CLIENT_ERRORS, why
from matboard.models.capabilities import Answers, Pictures, VisionLanguageModel
from matboard.models.families import family_of, processor_settings
from matboard.models.processors.preprocessor import Preprocessor
from matboard.models.vlm.decode import Heard, speaker_of
from matboard.models.vlm.encode import Seen, features, fingerprint, see, taps_of
from matboard.models.vlm.fusion import Asked, joint_of
from matboard.models.vlm.prompt import Wording, padded

RANKING_BYTES = 2**30
"""Memory for the prompts' copied keys and values and for the logits while candidates are ranked
(guess).
"""


class HuggingFaceVLM(VisionLanguageModel):
    """A frozen transformers vision-language model.

    Args:
        model: an image-text-to-text model; it is set to eval mode and its parameters stop requiring
            gradients.
        image_processor: its official image processor (PIL backend).
        tokenizer: its language model's tokenizer.
        qformer_tokenizer: the Q-Former's, where the Q-Former reads the question (InstructBLIP,
            BLIVA).
        template: the prompt; see `Wording`.
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
        template: str | None = None,
        name: str = "",
    ) -> None:
        self.joint = joint_of(model.eval().requires_grad_(False))
        self.reads_question = "qformer_input_ids" in self.joint.inputs
        if self.reads_question and qformer_tokenizer is None:
            raise ModelError(
                f"{type(model).__name__} has a Q-Former that reads the question: give its"
                " qformer_tokenizer."
            )
        family = family_of(model)
        self.name = name or model.config.name_or_path or model.config.model_type
        self.taps = taps_of(model)
        self.model = model
        self.preprocess = Preprocessor(image_processor, processor_settings(model))
        self.wording = Wording(
            tokenizer, family, getattr(model.config, "image_token_id", None), template
        )
        self.speaker = speaker_of(self.joint, family)
        self.tokenizer, self.qformer_tokenizer = tokenizer, qformer_tokenizer

    @cached_property
    def encoder(self) -> str:  # type: ignore[override]
        """Fingerprint of the vision encoder's weights."""
        return fingerprint(self.joint.eye)

    @property
    def refusal(self) -> str | None:
        """See `VisionLanguageModel.refusal`: what the comparison of the image processor with its
        twin found.
        """
        return self.preprocess.refusal

    def answer(
        self,
        images: Pictures,
        questions: Sequence[str],
        answers: Sequence[str],
        *,
        taps: Sequence[str] = (),
        terminator: bool = False,
    ) -> Answers:
        """See `VisionLanguageModel.answer`. Raises ModelError for unequal counts or an empty
        answer, UnknownName for a tap.
        """
        _same_count(images, questions, answers)
        ids = [self.wording.answer_ids(q, a, terminator) for q, a in zip(questions, answers)]
        seen = self._see(images, questions)
        logits = self.speaker.score(self._ask(seen, questions), ids)
        wanted, mask = padded(ids, "right", logits.device)
        taken = {tap: features(self.model, seen, tap) for tap in taps}
        return Answers(-_log_likelihood(logits, wanted, mask), mask.sum(1), taken)

    def candidate_log_likelihoods(
        self,
        images: Pictures,
        questions: Sequence[str],
        candidates: Sequence[Sequence[str]],
        *,
        length_normalised: bool = True,
    ) -> Float[Tensor, "batch candidate"]:
        """See `VisionLanguageModel.candidate_log_likelihoods`. Raises ModelError for unequal counts
        or an empty candidate.

        Every prompt is read once: its last logits score each candidate's first token, its keys and
        values serve the rest.
        """
        _same_count(images, questions, candidates)
        counts = [len(options) for options in candidates]
        if len(set(counts)) > 1 or not counts[0]:
            raise ModelError(
                f"Every sample needs the same number of candidates, at least one; got {counts}."
            )
        ids = [
            self.wording.answer_ids(q, option, False)
            for q, options in zip(questions, candidates)
            for option in options
        ]
        heard = self.speaker.hear(self._ask(self._see(images, questions), questions))
        scores = self._rank(
            heard,
            ids,
            torch.arange(len(questions), device=self.model.device).repeat_interleave(counts[0]),
        )
        lengths = (
            torch.tensor([len(row) for row in ids], device=scores.device)
            if length_normalised
            else 1
        )
        return (scores / lengths).view(len(questions), -1)

    def generate(
        self, images: Pictures, questions: Sequence[str], *, max_new_tokens: int = 16
    ) -> list[str]:
        """See `VisionLanguageModel.generate`. Raises ModelError for unequal counts."""
        _same_count(images, questions)
        with torch.no_grad():
            heard = self.speaker.hear(self._ask(self._see(images, questions), questions))
            said = heard.logits.argmax(-1, keepdim=True)
            ends = torch.tensor(sorted(self._ends), device=said.device)
            while said.shape[1] < max_new_tokens and not torch.isin(said, ends).any(1).all():
                _, heard = self.speaker.go_on(heard, said[:, -1:], torch.ones_like(said[:, -1:]))
                said = torch.cat([said, heard.logits.argmax(-1, keepdim=True)], 1)
        return [self._read(row[:max_new_tokens]) for row in said.tolist()]

    def visual_features(
        self, images: Pictures, tap: str, questions: Sequence[str] | None = None
    ) -> Float[Tensor, "batch token dim"]:
        """See `VisionLanguageModel.visual_features`. Raises UnknownName, and ModelError where
        pictures differ in token count.
        """
        return features(self.model, self._see(images, questions or [""] * len(images)), tap)

    def _see(self, images: Pictures, questions: Sequence[str]) -> Seen:
        inputs = self.preprocess(images, self.model.device, self.model.dtype)
        if self.reads_question:
            text = [
                self.qformer_tokenizer(self.wording.instruction(q))["input_ids"] for q in questions
            ]
            inputs["qformer_input_ids"], inputs["qformer_attention_mask"] = padded(
                text, "right", self.model.device
            )
        return see(self.joint, inputs, len(images))

    def _ask(self, seen: Seen, questions: Sequence[str]) -> Asked:
        rows = [self.wording.prompt_ids(q, picture) for q, picture in zip(questions, seen.pictures)]
        ids, mask = padded(rows, self.speaker.padding, self.model.device)
        return Asked(ids, mask, seen.output, torch.cat(seen.tokens), seen.grid)

    def _rank(self, heard: Heard, ids: Sequence[Sequence[int]], owner: Tensor) -> Tensor:
        """Log-likelihood of every candidate; ``owner`` says which prompt each follows. Similar
        lengths share a pass of bounded size.
        """
        first = torch.tensor([row[0] for row in ids], device=owner.device)
        scores = heard.logits.float().log_softmax(-1)[owner, first]
        longer = sorted((i for i, row in enumerate(ids) if len(row) > 1), key=lambda i: len(ids[i]))
        size = max(
            1, RANKING_BYTES // (heard.row_bytes + 4 * max(map(len, ids)) * heard.logits.shape[1])
        )
        for rows in (longer[i : i + size] for i in range(0, len(longer), size)):
            where = torch.tensor(rows, device=owner.device)
            said, mask = padded([ids[i][:-1] for i in rows], "right", owner.device)
            wanted, _ = padded([ids[i][1:] for i in rows], "right", owner.device)
            logits, _ = self.speaker.go_on(heard.rows(owner[where]), said, mask)
            scores = scores.index_add(0, where, _log_likelihood(logits, wanted, mask))
        return scores

    @cached_property
    def _ends(self) -> set[int]:
        """The tokens that end an answer."""
        ends = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        listed = ends if isinstance(ends, list) else [ends]
        return {int(end) for end in (*listed, self.wording.end) if end is not None}

    def _read(self, ids: list[int]) -> str:
        end = next((i for i, token in enumerate(ids) if token in self._ends), len(ids))
        return str(self.tokenizer.decode(ids[:end], skip_special_tokens=True)).strip()


def load(
    id_or_folder: str,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    template: str | None = None,
    trust_remote_code: bool = False,
) -> HuggingFaceVLM:
    """A vision-language model from the Hub or from a folder.

    The differentiable twin of its image processor is compared with it now; a model whose twin
    differs comes with a warning and its ``refusal``: it can be judged on, not learned on.

    Args:
        dtype: of the weights; float32 unless given.
        device: where it shall run; a GPU where there is one.
        template: the prompt, see `Wording`; else the folder's chat template, else its family's.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ModelError: nothing there, a part is missing, or the family cannot be driven.
    """
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    place, trust = str(id_or_folder), {"trust_remote_code": trust_remote_code}
    model = load_part(
        AutoModelForImageTextToText, "model", place, dtype=dtype or torch.float32, **trust
    )
    processor = load_part(AutoImageProcessor, "image processor", place, backend="pil", **trust)
    tokenizer = load_part(AutoTokenizer, "tokenizer", place, **trust)
    tokenizer.chat_template = tokenizer.chat_template or _older_chat_template(place)
    reads = "qformer_input_ids" in joint_of(model).inputs
    qformer = (
        load_part(
            AutoTokenizer, "Q-Former tokenizer", place, subfolder="qformer_tokenizer", **trust
        )
        if reads
        else None
    )
    model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    loaded = HuggingFaceVLM(model, processor, tokenizer, qformer, template=template, name=place)
    loaded.preprocess.warn(place)
    return loaded


LOADING_ERRORS: tuple[type[Exception], ...] = (*CLIENT_ERRORS, KeyError, ImportError)
"""What transformers raises where a part is missing, broken, of no known kind, or does not come from
the Hub.
"""


def look_up(id_or_folder: str | Path) -> None:
    """Read a model's configuration and nothing else. Raises ModelError where `load` would find no
    model of a known kind.
    """
    from transformers import AutoConfig

    load_part(AutoConfig, "configuration", str(id_or_folder))


def load_part(auto: Any, what: str, place: str, **options: Any) -> Any:
    """One part of a model by its Auto class. Raises ModelError where it cannot be had."""
    try:
        return auto.from_pretrained(place, **options)
    except LOADING_ERRORS as error:
        expected = (
            f"{place!r} yields no {what}; expected a Hub id or a folder that transformers saved."
        )
        if reason := why(error):
            raise ModelError(
                f"{expected} There is no such folder here, and the Hugging Face Hub did not give"
                f" it: {reason}."
            ) from error
        raise ModelError(f"{expected} It said: {' '.join(str(error).split())[:300]}") from error


def _older_chat_template(place: str) -> str | None:
    """The chat template where transformers 4 kept a processor's."""
    try:
        kept: str = json.loads(
            Path(cached_file(place, "chat_template.json")).read_text(encoding="utf-8")
        )["chat_template"]
    except OSError:
        return None
    return kept


def _same_count(images: Pictures, *others: Sequence[Any]) -> None:
    counts = [len(images), *map(len, others)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ModelError(
            "Pictures, questions and answers belong together one to one, at least one of each; got"
            f" {counts}."
        )


def _log_likelihood(logits: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """Sum of the wanted tokens' log-probabilities, in float32."""
    chosen = logits.float().log_softmax(-1).gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
    return (chosen * mask).sum(-1)
