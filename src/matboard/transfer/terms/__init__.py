"""What a prompt is trained for: an objective is a sum of weighted terms, one file each.

Zhang et al., "Exploring the Transferability of Visual Prompting for Multimodal Large Language
Models", CVPR 2024 (arXiv 2404.11207), Eq. 6: L = L_LLM + λ₁·L_FCA − λ₂·L_TSE.

A term says by its type what it is computed from (`ModelTerm`, `GuideTerm`, `CanvasTerm`), and by
its constructor which options it has. A term more is a file more and a line in ``TERMS``, or an
entry point of the group ``matboard.terms``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from matboard.errors import ConfigError, UnknownName
from matboard.registry import Registry, check_options

if TYPE_CHECKING:
    from matboard.transfer.objective import Objective as Objective
    from matboard.transfer.passes import Needs as Needs
    from matboard.transfer.terms.term import CanvasTerm as CanvasTerm
    from matboard.transfer.terms.term import GuideTerm as GuideTerm
    from matboard.transfer.terms.term import ModelTerm as ModelTerm
    from matboard.transfer.terms.term import Term as Term

TERMS = Registry(
    "term",
    {
        "task_loss": "matboard.transfer.terms.task_loss:TaskLoss",
        "candidate_contrast": "matboard.transfer.terms.candidate_contrast:CandidateContrast",
        "feature_consistency": "matboard.transfer.terms.feature_consistency:FeatureConsistency",
        "semantic_enrichment": "matboard.transfer.terms.semantic_enrichment:SemanticEnrichment",
    },
    group="matboard.terms",
)

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {},
    "authors-code": {
        "task_loss": {"form": "token_mean", "terminator": True},
        "feature_consistency": {
            "form": "l2_mean_tokens",
            "tap": "projector",
            "reference": "shrunk",
        },
        "semantic_enrichment": {"form": "scaled_cosine", "temperature": None},
    },
}
"""Forms of the terms, over the constructors' defaults, which are the paper's. The authors'
published code differs from their paper in every one of the three.
"""

TASK = "task_loss"
"""The term that stands in every objective, whether it is named or not."""

_LOADED = {
    "Objective": "matboard.transfer.objective",
    "CanvasTerm": "matboard.transfer.terms.term",
    "GuideTerm": "matboard.transfer.terms.term",
    "ModelTerm": "matboard.transfer.terms.term",
    "Needs": "matboard.transfer.passes",
    "Term": "matboard.transfer.terms.term",
}
"""Public names that need torch: loaded when first used, so that listing terms does not."""


def __getattr__(name: str) -> Any:
    if name not in _LOADED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LOADED[name]), name)


def objective(asked: Mapping[str, Any], key: str = "objective") -> Objective:
    """An objective from configuration.

    Args:
        asked: ``preset`` (``paper`` unless given), and term → its options: the ``weight`` and
            whatever its constructor takes. Terms that are not named do not count, except the task
            loss, which always does.
        key: where ``asked`` stands in the configuration, for error messages.

    Raises:
        UnknownName: no such preset, term or option.
        ConfigError: a value of the wrong kind, a term without weight, nothing of any weight.
    """
    from matboard.transfer.objective import Objective

    options = dict(asked)
    preset = options.pop("preset", "paper")
    if preset not in PRESETS:
        raise UnknownName("preset of the objective", str(preset), PRESETS)
    _refuse_unknown(options, key)
    chosen = [name for name in TERMS if name == TASK or name in options]
    terms = [_term(name, options.get(name), PRESETS[preset], key) for name in chosen]
    return Objective(*terms)


def resolve(
    asked: Mapping[str, Any], key: str = "objective"
) -> dict[str, dict[str, Any]]:
    """Term → all its options, for records: what `objective` would build, and equal for equal
    objectives. Raises like `objective`.
    """
    return objective(asked, key).record()


def _refuse_unknown(options: Mapping[str, Any], key: str) -> None:
    for name in options:
        if name not in TERMS:
            known = [f"{key}.{term}" for term in ("preset", *TERMS)]
            raise UnknownName("term", f"{key}.{name}", known)


def _term(
    name: str, asked: Any, preset: Mapping[str, Mapping[str, Any]], key: str
) -> Term:
    place = f"{key}.{name}"
    if asked is not None and not isinstance(asked, Mapping):
        raise ConfigError(
            f"{place} is {asked!r}; expected its options, such as {{weight: 0.001}}."
        )
    options = {**preset.get(name, {}), **(asked or {})}
    checked = check_options(
        options, TERMS.options(name), f"term {name!r}", prefix=f"{place}."
    )
    if "weight" not in checked and name != TASK:
        raise ConfigError(
            f"{place}.weight is missing; say how much the term counts, 0 for not."
        )
    term: Term = TERMS.load(name)(**checked)
    return term
