"""One adapter for every transformers image-text-to-text family.

A model is driven in two steps that all families share: its eye encodes the pictures (`encode`),
then its language model reads the prompts (`prompt`, `official`, `decode`). What differs between
families is in their files (`matboard.models.families`).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from matboard.errors import ModelError
from matboard.models.capabilities import Answers, Pictures, VisionLanguageModel
from matboard.models.families import family_of, layout_of
from matboard.models.processors.check import PROBES, probe, to_tensor
from matboard.models.processors.preprocessor import Preprocessor
from matboard.models.vlm.decode import Prefill, language_model_of
from matboard.models.vlm.encode import Batch, Encoded, encode, features, fingerprint, taps_of
from matboard.models.vlm.fusion import Placed, Prompts
from matboard.models.vlm.loading import load_part, official_processor, older_chat_template
from matboard.models.vlm.official import QUESTION, OfficialPrompts, mark_of
from matboard.models.vlm.prompt import PromptIds, PromptTemplate, image_token, padded

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
        self.preprocess = Preprocessor(image_processor, layout_of(image_processor), settings)

    @cached_property
    def encoder(self) -> str:  # type: ignore[override]
        """Fingerprint of the vision encoder's weights."""
        return fingerprint(self.fusion.eye)

    @property
    def refusal(self) -> str | None:
        """See `Learnable.refusal`: the image processor has no faithful differentiable version, the
        prompts are a guess, or the eye passes no gradient.
        """
        return self.preprocess.refusal or self._refusal

    @cached_property
    def _refusal(self) -> str | None:
        """The same, beyond the image processor."""
        kind = type(self.model).__name__
        if self.guesses:
            return (
                f"How {kind} is asked is not known here, and its own processor cannot be used: its"
                " prompts are matboard's guess, and it may answer worse than it could. Install what"
                " its processor needs, or add its family."
            )
        try:
            reached = self._encode(_canvas(), [QUESTION]).tokens[0].requires_grad
        except Exception as error:  # anybody's code; a model whose eye fails here still loads
            return f"{kind} cannot encode a canvas: {' '.join(str(error).split())[:300]}"
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
    ) -> Answers:
        """See `Learnable.answer`. Raises ModelError for unequal counts or an empty answer,
        UnknownName for a tap.
        """
        _same_count(images, questions, answers)
        if self._one_at_a_time(images):
            options: dict[str, Any] = {"taps": taps, "terminator": terminator}
            each = zip(images, questions, answers)
            return _joined([self.answer([p], [q], [a], **options) for p, q, a in each])
        ids = [self.template.answer_ids(q, a, terminator) for q, a in zip(questions, answers)]
        encoded = self._encode(images, questions)
        logits = self.language.score(self._prompts(encoded, images, questions), ids)
        wanted, mask = padded(ids, "right", logits.device)
        taken = {tap: features(self.model, encoded, tap) for tap in taps}
        return Answers(-_log_likelihood(logits, wanted, mask), mask.sum(1), taken)

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
        _same_count(images, questions, candidates)
        count = _common_count(candidates)
        if self._one_at_a_time(images):
            each = zip(images, questions, candidates)
            rule = {"length_normalised": length_normalised}
            rows = [self.candidate_log_likelihoods([p], [q], [c], **rule) for p, q, c in each]
            return torch.cat(rows)
        ids = [
            [self.template.answer_ids(question, option, False) for option in options]
            for question, options in zip(questions, candidates)
        ]
        encoded = self._encode(images, questions)
        prompts = self._prompts(encoded, images, questions)
        prefill = self.language.prefill(prompts)
        if prefill.reusable:
            scores = self._rank(prefill, ids)
        else:
            scores = self._rank_whole(prompts, ids, count)
        if not length_normalised:
            return scores
        lengths = [[len(option) for option in options] for options in ids]
        return scores / torch.tensor(lengths, device=scores.device)

    def generate(
        self, images: Pictures, questions: Sequence[str], *, max_new_tokens: int = 16
    ) -> list[str]:
        """See `Generates.generate`. Raises ModelError for unequal counts."""
        _same_count(images, questions)
        if self._one_at_a_time(images):
            each = zip(images, questions)
            return [self.generate([p], [q], max_new_tokens=max_new_tokens)[0] for p, q in each]
        with torch.no_grad():
            encoded = self._encode(images, questions)
            prefill = self.language.prefill(self._prompts(encoded, images, questions))
            said = prefill.logits.argmax(-1, keepdim=True)
            ends = torch.tensor(sorted(self._ends), device=said.device)
            while said.shape[1] < max_new_tokens and not torch.isin(said, ends).any(1).all():
                last = said[:, -1:]
                _, prefill = self.language.decode(prefill, last, torch.ones_like(last))
                said = torch.cat([said, prefill.logits.argmax(-1, keepdim=True)], 1)
        return [self._read(row[:max_new_tokens]) for row in said.tolist()]

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
            token = image_token(self.tokenizer, getattr(self.model.config, "image_token_id", None))
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
        inputs = self.preprocess(images, self.model.device, self.model.dtype)
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
            placeholders = [self._room(asked) for asked in self._asked(images, questions)]
        batch = Batch(len(images), _alike(images), placeholders)
        return encode(self.fusion, self.family, self._inputs(images, questions), batch)

    def _asked(self, images: Pictures, questions: Sequence[str]) -> list[PromptIds]:
        """The prompts as the official processor writes them."""
        assert self._official is not None
        return [self._official.ids(q, size) for q, size in zip(questions, _sizes(images))]

    def _prompts(self, encoded: Encoded, images: Pictures, questions: Sequence[str]) -> Prompts:
        if self.asks_officially:
            asked = self._asked(images, questions)
        else:
            each = zip(questions, encoded.pictures)
            asked = [self.template.ids(question, picture) for question, picture in each]
        side = self.language.padding
        ids, mask = padded([prompt.ids for prompt in asked], side, self.model.device)
        types = {
            name: padded([prompt.types[name] for prompt in asked], side, self.model.device)[0]
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

    def _rank(self, prefill: Prefill, ids: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Log-likelihood of every candidate, ``batch candidate``. Similar lengths share a pass of
        bounded size.
        """
        flat = [option for options in ids for option in options]
        owners = [i for i, options in enumerate(ids) for _ in options]
        owner = torch.tensor(owners, device=prefill.logits.device)
        first = torch.tensor([option[0] for option in flat], device=owner.device)
        scores = prefill.logits.float().log_softmax(-1)[owner, first]
        longer = [i for i, option in enumerate(flat) if len(option) > 1]
        longer.sort(key=lambda i: len(flat[i]))
        row_bytes = prefill.row_bytes + 4 * max(map(len, flat)) * prefill.logits.shape[1]
        size = max(1, RANKING_BYTES // row_bytes)
        for start in range(0, len(longer), size):
            rows = longer[start : start + size]
            where = torch.tensor(rows, device=owner.device)
            said, mask = padded([flat[i][:-1] for i in rows], "right", owner.device)
            wanted, _ = padded([flat[i][1:] for i in rows], "right", owner.device)
            logits, _ = self.language.decode(prefill.rows(owner[where]), said, mask)
            scores = scores.index_add(0, where, _log_likelihood(logits, wanted, mask))
        return scores.view(len(ids), -1)

    def _rank_whole(
        self, prompts: Prompts, ids: Sequence[Sequence[Sequence[int]]], count: int
    ) -> Tensor:
        """The same, each candidate read with its prompt; the pictures are encoded already."""
        columns = []
        for k in range(count):
            rows = [options[k] for options in ids]
            logits = self.language.score(prompts, rows)
            wanted, mask = padded(rows, "right", logits.device)
            columns.append(_log_likelihood(logits, wanted, mask))
        return torch.stack(columns, dim=1)

    @cached_property
    def _ends(self) -> set[int]:
        """The tokens that end an answer."""
        ends = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None)
        listed = ends if isinstance(ends, list) else [ends]
        return {int(end) for end in (*listed, self.template.end) if end is not None}

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

    What a prompt is learned through is compared with the official processor now; a model on which
    none can be learned comes with a warning and its ``refusal``: it can be judged on.

    Args:
        dtype: of the weights; float32 unless given.
        device: where it shall run; a GPU where there is one.
        template: the prompt, see `PromptTemplate`; else the folder's chat template, else its
            family's.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ModelError: nothing there, a part is missing, or the family cannot be driven.
    """
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    place = str(id_or_folder)
    trust = {"trust_remote_code": trust_remote_code}
    kept = {"dtype": dtype or torch.float32, **trust}
    model = load_part(AutoModelForImageTextToText, "model", place, **kept)
    parts = {
        "image_processor": load_part(
            AutoImageProcessor, "image processor", place, backend="pil", **trust
        ),
        "tokenizer": load_part(AutoTokenizer, "tokenizer", place, **trust),
    }
    if "qformer_input_ids" in family_of(model).fusion(model).inputs:
        within = {"subfolder": "qformer_tokenizer", **trust}
        parts["qformer_tokenizer"] = load_part(AutoTokenizer, "Q-Former tokenizer", place, **within)
    official = official_processor(place, model.config.model_type, parts, **trust)
    tokenizer = parts["tokenizer"]
    tokenizer.chat_template = (
        getattr(official, "chat_template", None)
        or tokenizer.chat_template
        or older_chat_template(place)
    )
    model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    loaded = HuggingFaceVLM(model, **parts, official=official, template=template, name=place)
    _warn(loaded)
    return loaded


def _warn(model: HuggingFaceVLM) -> None:
    """Say, at the place that loads a model, what it is not good for."""
    if model.refusal is not None:
        warnings.warn(
            f"{model.name} was loaded for evaluation only, no prompt can be learned on it."
            f" {model.refusal}",
            stacklevel=3,
        )
    elif model.preprocess.deviation is not None:
        warnings.warn(f"{model.name}: {model.preprocess.deviation}", stacklevel=3)


def _canvas() -> Tensor:
    return to_tensor([probe(*PROBES[0])]).requires_grad_()


def _sizes(images: Pictures) -> list[tuple[int, int]]:
    """Width and height of each picture."""
    if isinstance(images, Tensor):
        return [(int(images.shape[-1]), int(images.shape[-2]))] * len(images)
    return [picture.size for picture in images]


def _alike(images: Pictures) -> bool:
    return len(set(_sizes(images))) == 1


def _joined(parts: Sequence[Answers]) -> Answers:
    taken = {tap: torch.cat([part.features[tap] for part in parts]) for tap in parts[0].features}
    losses = torch.cat([part.negative_log_likelihood for part in parts])
    return Answers(losses, torch.cat([part.token_count for part in parts]), taken)


def _same_count(images: Pictures, *others: Sequence[Any]) -> None:
    counts = [len(images), *map(len, others)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ModelError(
            "Pictures, questions and answers belong together one to one, at least one of each; got"
            f" {counts}."
        )


def _common_count(candidates: Sequence[Sequence[str]]) -> int:
    counts = [len(options) for options in candidates]
    if len(set(counts)) > 1 or not counts[0]:
        raise ModelError(
            f"Every sample needs the same number of candidates, at least one; got {counts}."
        )
    return counts[0]


def _log_likelihood(logits: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """Sum of the wanted tokens' log-probabilities, in float32."""
    chosen = logits.float().log_softmax(-1).gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
    return (chosen * mask).sum(-1)
