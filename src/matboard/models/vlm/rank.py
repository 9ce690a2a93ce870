"""Log-likelihoods of candidate answers behind prompts whose pictures are encoded already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from matboard.models.vlm.decode import LanguageModel, Prefill
from matboard.models.vlm.fusion import Prompts
from matboard.models.vlm.prompt import padded

RANKING_BYTES = 2**30
"""Memory for the prompts' copied keys and values and for the logits while candidates are ranked
(guess).
"""

Candidates = Sequence[Sequence[Sequence[int]]]
"""Token ids of each candidate of each prompt; every prompt has equally many."""


def rank(language: LanguageModel, prefill: Prefill, candidates: Candidates) -> Tensor:
    """``batch candidate``. The prompt's last logits score each candidate's first token, its keys
    and values serve the rest; similar lengths share a pass of bounded size.
    """
    device = prefill.logits.device
    flat: list[Sequence[int]] = []
    owners: list[int] = []
    for row, options in enumerate(candidates):
        flat.extend(options)
        owners.extend([row] * len(options))
    owner = torch.tensor(owners, device=device)
    first = torch.tensor([ids[0] for ids in flat], device=device)
    scores = prefill.logits.float().log_softmax(-1)[owner, first]
    for places in _passes(prefill, flat):
        where = torch.tensor(places, device=device)
        chunk = [flat[place] for place in places]
        rest = _rest(language, prefill.rows(owner[where]), chunk)
        scores = scores.index_add(0, where, rest)
    return scores.view(len(candidates), -1)


def _passes(prefill: Prefill, flat: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Places of the candidates of more than one token, by length, as many as fit into memory."""
    longer = [place for place, ids in enumerate(flat) if len(ids) > 1]
    longer.sort(key=lambda place: len(flat[place]))
    vocabulary = prefill.logits.shape[1]
    longest = max(len(ids) for ids in flat)
    row_bytes = prefill.row_bytes + 4 * longest * vocabulary
    size = max(1, RANKING_BYTES // row_bytes)
    for start in range(0, len(longer), size):
        yield longer[start : start + size]


def _rest(
    language: LanguageModel, prefill: Prefill, chunk: Sequence[Sequence[int]]
) -> Tensor:
    """Log-likelihood of each candidate behind its first token."""
    device = prefill.logits.device
    said, mask = padded([ids[:-1] for ids in chunk], "right", device)
    wanted, _ = padded([ids[1:] for ids in chunk], "right", device)
    logits, _ = language.decode(prefill, said, mask)
    return log_likelihood(logits, wanted, mask)


def rank_whole(
    language: LanguageModel, prompts: Prompts, candidates: Candidates
) -> Tensor:
    """The same, each candidate read with its prompt."""
    columns = []
    for column in zip(*candidates, strict=True):
        logits = language.score(prompts, column)
        wanted, mask = padded(column, "right", logits.device)
        columns.append(log_likelihood(logits, wanted, mask))
    return torch.stack(columns, dim=1)


def log_likelihood(logits: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """Sum of the wanted tokens' log-probabilities, in float32."""
    scores = logits.float().log_softmax(-1)
    chosen = scores.gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
    return (chosen * mask).sum(-1)
