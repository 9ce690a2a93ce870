"""Dual encoders (CLIP, SigLIP) as models: an answer's score is how like its caption a picture is.

    s_ik = τ · ⟨f(x_i), g_k⟩,   g_k = norm(mean_t g(template_t(candidate_k)))

(arXiv 2103.00020, §3.1.2 and §3.1.4: several captions of a class are averaged in feature space.)
τ is the model's learned inverse temperature; a softmax over a sample's candidates makes likelihoods
of s, which is what visual prompts were first learned by (arXiv 2203.17274).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from matboard.errors import ModelError, UnknownName
from matboard.models.capabilities import HasFeatures, Learnable, Pictures, Ranks
from matboard.models.counts import common_count, same_count
from matboard.models.guide import ClipGuide, load_guide
from matboard.models.vlm.encode import fingerprint

TEMPLATES = ("This is a photo of a {}",)
"""VP's, EVP's and TVP's caption; ``{}`` is the candidate."""


class DualEncoder(Learnable, Ranks, HasFeatures):
    """A frozen dual encoder that chooses among candidate answers. Questions are not read: what is
    asked, the captions say.

    Args:
        guide: its two towers, the image processor and the tokenizer.
        templates: captions of a candidate, each with ``{}`` in its place.
        name: as the user calls it.

    Raises:
        ModelError: no template, or one without ``{}``.
    """

    def __init__(
        self,
        guide: ClipGuide,
        templates: Sequence[str] = TEMPLATES,
        *,
        name: str = "",
    ) -> None:
        lacking = [template for template in templates if "{}" not in template]
        if lacking or not templates:
            came = f"{lacking[0]!r} came" if lacking else "none came"
            raise ModelError(
                f"The caption templates of {guide.name} need {{}} where a candidate stands; {came}."
                " Write them like 'a photo of a {}.'."
            )
        self.name = name or guide.name
        self.templates = tuple(templates)
        self.settings = f"captions {', '.join(map(repr, self.templates))}"
        self.preprocess = guide.preprocess
        self.model = guide.model
        self._guide = guide
        self._eye = getattr(guide.model, "vision_model", None)
        self.taps = ("projector",) if self._eye is None else ("vision", "projector")
        self._kept: dict[str, Tensor] = {}

    @cached_property
    def encoder(self) -> str:  # type: ignore[override]
        """Fingerprint of the image tower's weights."""
        return fingerprint(self.model if self._eye is None else self._eye)

    @cached_property
    def weights(self) -> str:  # type: ignore[override]
        """Fingerprint of all weights."""
        return fingerprint(self.model)

    @property
    def refusal(self) -> str | None:
        """See `Learnable.refusal`: what the comparison of the image processor with its
        differentiable version found.
        """
        return self._guide.refusal

    def candidate_log_likelihoods(
        self,
        images: Pictures,
        questions: Sequence[str],
        candidates: Sequence[Sequence[str]],
        *,
        length_normalised: bool = True,
    ) -> Float[Tensor, "batch candidate"]:
        """See `Ranks.candidate_log_likelihoods`: logits, s_ik. Raises ModelError for unequal
        counts.
        """
        del length_normalised
        same_count(images, questions, candidates)
        common_count(candidates)
        names = list(dict.fromkeys(name for row in candidates for name in row))
        pictures = self._guide.image_features(images)
        texts = torch.stack([self.text_features(name) for name in names])
        scores = self._guide.logit_scale * pictures @ texts.T
        return columns(scores, names, candidates)

    def text_features(self, candidate: str) -> Float[Tensor, " dim"]:
        """g_k: a candidate's captions, averaged in feature space and L2-normalised; encoded once
        and kept.
        """
        if candidate not in self._kept:
            captions = [
                template.replace("{}", candidate) for template in self.templates
            ]
            mean = self._guide.text_features(captions).mean(dim=0)
            self._kept[candidate] = F.normalize(mean, dim=0)
        return self._kept[candidate]

    def visual_features(
        self, images: Pictures, tap: str, questions: Sequence[str] | None = None
    ) -> Float[Tensor, "batch token dim"]:
        """See `HasFeatures.visual_features`: ``"projector"`` is the picture's embedding, of unit
        length, as a single token. Raises UnknownName.
        """
        del questions
        if tap not in self.taps:
            raise UnknownName(f"tap of {self.name}", tap, self.taps)
        if tap == "projector":
            return self._guide.image_features(images)[:, None]
        inputs = self.preprocess(images, self.model.device, self.model.dtype)
        eye: Any = self._eye
        tokens: Tensor = eye(**inputs).last_hidden_state
        return tokens.float()


def load(
    id_or_folder: str,
    *,
    templates: Sequence[str] = TEMPLATES,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> DualEncoder:
    """A dual encoder from the Hub or from a folder; one on which no prompt can be learned comes
    with a warning.

    Args:
        templates: captions of a candidate, each with ``{}`` in its place.
        dtype: of the weights; float32 unless given, and for ``"mixed"``.
        device: where it shall run; a GPU where there is one.

    Raises:
        ModelError: nothing there, a part is missing, or a template is wrong.
    """
    guide = load_guide(id_or_folder, dtype=dtype, device=device)
    return DualEncoder(guide, templates)


def columns(
    scores: Float[Tensor, "batch name"],
    names: Sequence[str],
    candidates: Sequence[Sequence[str]],
) -> Float[Tensor, "batch candidate"]:
    """Of every sample's row, the scores of its candidates."""
    place = {name: number for number, name in enumerate(names)}
    rows = [[place[name] for name in row] for row in candidates]
    return scores.gather(1, torch.tensor(rows, device=scores.device))
