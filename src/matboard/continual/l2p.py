"""L2P, Learning to Prompt for Continual Learning (arXiv 2112.08654): a pool of keyed prompts,
chosen by the frozen CLS.

Published settings disagree; each is a preset, taken from what is named:

| preset | from |
|---|---|
| ``l2p-paper`` | the paper's §5: M 10, L_p 5, N 5, λ 0.5, Adam, lr 0.03, batch 128, 5 epochs |
| ``l2p-jax`` | google-research/l2p at HEAD (2022): L_p 10, N 4, λ 1, lr 0.03 · 128 / 256, \
prompts from U[0, 0.01), head from zero |
| ``l2p-pytorch`` | JH-LEE-KR/l2p-pytorch: L_p 5, N 5, λ 0.1, lr 0.03 · 16 / 256, batch 16, \
U(−1, 1), the CLS's position added to prompts |
| ``honest`` | as ``l2p-pytorch``, but every sample chooses for itself, by its clean query, and \
prompts get no position |

The first three choose by the majority of the *batch*, at test too, where batches come task by task:
the vote gives the task away.
"""

from __future__ import annotations

from typing import Any, Literal

from matboard.continual.eye import FrozenEye
from matboard.continual.prompted import PromptedLearner
from matboard.continual.training import Count, Training, Weight
from matboard.prompts.pool import Choosing, PromptPool

_BY_BATCH = {"selection": "batchwise", "clean_query": False}
PRESETS: dict[str, dict[str, Any]] = {
    "l2p-paper": {**_BY_BATCH, "pull": 0.5, "lr": 0.03, "batch_size": 128},
    "l2p-jax": {
        **_BY_BATCH,
        "length": 10,
        "top_k": 4,
        "pull": 1.0,
        "lr": 0.015,
        "batch_size": 128,
        "bounds": (0.0, 0.01),
        "zero_head": True,
    },
    "l2p-pytorch": {**_BY_BATCH, "position": "cls"},
    "honest": {},
}
"""Preset → options of `l2p` and fields of `Training` that depart from their defaults."""

VOTE = "prompts are chosen by the majority of a batch, at test too, which gives the task away"


def l2p(
    eye: FrozenEye,
    classes: int,
    training: Training,
    *,
    size: Count = 10,
    length: Count = 5,
    top_k: Count = 5,
    pull: Weight = 0.1,
    selection: Choosing = "per_sample",
    weighting: Literal["hard", "soft"] = "hard",
    bounds: tuple[float, float] = (-1.0, 1.0),
    position: Literal["none", "cls"] = "none",
) -> PromptedLearner:
    """A pool of token prompts. ``weighting: soft`` is CODA-Prompt's (arXiv 2211.13218).

    Raises:
        ConfigError: a top-k above the size; bounds in the wrong order.
    """
    pool = PromptPool(
        size,
        length,
        eye.backbone.dim,
        top_k,
        selection=selection,
        weighting=weighting,
        bounds=bounds,
        seed=10 * training.seed,
    )
    weights = {"pull": pull}
    flags = (VOTE,) if selection == "batchwise" else ()
    return PromptedLearner(
        eye, pool, classes, training, weights=weights, position=position, flags=flags
    )
