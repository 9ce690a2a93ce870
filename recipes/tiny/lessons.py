"""How the tiny zoo learns: eyes, connectors with language models, the guide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.modeling_outputs import BaseModelOutputWithPooling

from matboard.tasks import scenes
from recipes.tiny.pictures import CELLS, NO_LABEL, TOPICS, Gallery
from recipes.tiny.text import Encoder

_BATCH = 32


def _descend(
    modules: Sequence[torch.nn.Module],
    loss: Callable[[Tensor], Tensor],
    count: int,
    steps: int,
    seed: int,
    batch: int = _BATCH,
) -> Iterator[str]:
    """AdamW on random rows, the rate rising to 2e-3 over the first twentieth and falling to
    nothing; a line now and then.
    """
    weights = [p for m in modules for p in m.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, 2e-3, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 2e-3, total_steps=steps, pct_start=0.05
    )
    lots = torch.Generator().manual_seed(seed)
    recent = 0.0
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        value = loss(torch.randint(count, (batch,), generator=lots))
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        recent += value.item() / 200
        if step % 200 == 0:
            yield f"step {step}/{steps} loss {recent:.3f}"
            recent = 0.0


@torch.no_grad()
def awaken(tower: Any, pictures: Gallery) -> None:
    """Start an eye well: patches whitened (so edges weigh as much as flat colour), positions as
    sines and cosines.
    """
    embeddings = tower.embeddings
    width = tower.config.hidden_size
    patch = tower.config.patch_size
    some = pictures.batch(torch.arange(min(2000, len(pictures.shown))))
    seen = F.unfold(some, patch, stride=patch).transpose(1, 2).flatten(0, 1)
    variance, directions = torch.linalg.eigh(torch.cov(seen.T))
    whitening = directions[:, -width:] / (variance[-width:] + 0.01).sqrt()
    embeddings.patch_embedding.weight.copy_(
        (whitening.T / 2).view(width, 3, patch, patch)
    )
    positions = embeddings.position_embedding
    table = (
        positions.weight if isinstance(positions, torch.nn.Embedding) else positions[0]
    )
    table[1:] = _waves(pictures.grid, width)


def _waves(grid: int, width: int) -> Float[Tensor, "patch width"]:
    """Row and column of every patch as sines and cosines."""
    quarter = torch.arange(width // 4)
    places = torch.cartesian_prod(torch.arange(grid), torch.arange(grid))
    angles = places[..., None] / 30 ** (quarter / len(quarter))
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(1) / 2


def teach_eye(tower: Any, pictures: Gallery, steps: int, seed: int) -> Iterator[str]:
    """Teach every patch token which shape and colour lie under it, its part of the silhouette, and
    the things' centres.
    """
    awaken(tower, pictures)
    sizes = [len(scenes.SHAPES), len(scenes.COLOURS), 1, CELLS**2]
    heads = torch.nn.Linear(tower.config.hidden_size, sum(sizes))
    labels = pictures.patch_labels
    covered = pictures.patch_silhouettes

    def loss(rows: Tensor) -> Tensor:
        seen = tower(pixel_values=pictures.batch(rows)).last_hidden_state[:, 1:]
        shape, colour, centre, cells = heads(seen).split(sizes, dim=-1)
        want = labels[rows]
        named = _named(shape, want[..., 0]) + _named(colour, want[..., 1])
        found = F.binary_cross_entropy_with_logits(centre[..., 0], want[..., 2].float())
        outline = F.binary_cross_entropy_with_logits(cells, covered[rows])
        return named + found + outline

    yield from _descend([tower, heads], loss, len(labels), steps, seed)


def _named(guess: Tensor, want: Tensor) -> Tensor:
    return F.cross_entropy(guess.flatten(0, 1), want.flatten(), ignore_index=NO_LABEL)


class _Remembered(torch.nn.Module):
    """Stands in for a frozen eye: its outputs, computed once, come in as ``pixel_values``."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        last, penultimate = pixel_values.float().unbind(1)
        return BaseModelOutputWithPooling(
            last_hidden_state=last,
            pooler_output=last[:, 0],
            hidden_states=(penultimate, last),
        )


@torch.no_grad()
def _remember(tower: Any, pictures: Gallery) -> Float[Tensor, "picture 2 token dim"]:
    parts = []
    for rows in torch.arange(len(pictures.shown)).split(256):
        out = tower(pixel_values=pictures.batch(rows), output_hidden_states=True)
        both = torch.stack([out.last_hidden_state, out.hidden_states[-2]], 1)
        parts.append(both.half())
    return torch.cat(parts).float()


def _question(shown: scenes.Scene, rng: np.random.Generator) -> tuple[str, str]:
    """Half the time whether some shape is there; else what the scene's task asks, or which colour
    goes with which shape.
    """
    lot = rng.integers(10)
    if lot < 5:
        return _presence(shown, rng)
    kind = scenes.KINDS[shown.key[0]]
    if lot < 7 and kind in ("recognition", "presence"):
        thing = shown.things[rng.integers(len(shown.things))]
        if lot == 5:
            return f"What colour is the {thing.shape}?", thing.colour
        return f"Which shape is {thing.colour}?", thing.shape
    wording = str(rng.choice(scenes.WORDINGS[kind]))
    return wording.format(*shown.subjects), shown.answer


def _presence(shown: scenes.Scene, rng: np.random.Generator) -> tuple[str, str]:
    there = {thing.shape for thing in shown.things}
    asked = there if rng.random() < 0.5 else set(scenes.SHAPES) - there
    subject = str(rng.choice(sorted(asked)))
    wording = str(rng.choice(scenes.WORDINGS["presence"]))
    return wording.format(subject), "yes" if subject in there else "no"


def teach_model(
    model: Any, encode: Encoder, pictures: Gallery, steps: int, seed: int
) -> Iterator[str]:
    """Teach connector and language model (unless that is frozen) to answer in every wording; the
    eye stays as it is.

    The query tokens learn beside it what they are for: each finds one shape or one colour (BLIP-2's
    first stage, in small).

    Args:
        encode: (questions, answers) → the text half of a batch, ``labels`` included.
    """
    eye = model.vision_model
    remembered = _remember(eye, pictures)
    model.vision_model = _Remembered()
    head = torch.nn.Linear(
        model.config.qformer_config.hidden_size, len(scenes.SHAPES) + 2
    )
    rng = np.random.default_rng(seed)

    def loss(rows: Tensor) -> Tensor:
        asked = [_question(pictures.shown[row], rng) for row in rows.tolist()]
        text = encode(
            [question for question, _ in asked], [answer for _, answer in asked]
        )
        out = model(pixel_values=remembered[rows], **text)
        found = head(out.qformer_outputs[0][:, : len(TOPICS)])
        topics = pictures.topic_labels[rows]
        partners = F.binary_cross_entropy_with_logits(found[..., :-2], topics[..., :-2])
        sizes = F.mse_loss(found[..., -2:], topics[..., -2:])
        return _answer_loss(model, out.logits, text["labels"]) + 5 * (partners + sizes)

    yield from _descend([model, head], loss, len(remembered), steps, seed)
    model.vision_model = eye


def teach_language(
    model: Any, encode: Encoder, pictures: Gallery, steps: int, seed: int
) -> Iterator[str]:
    """Teach the language model alone to answer the same questions about scenes told in words: "red
    star, blue ring. Is there a ring?"
    """
    language = model.language_model
    rng = np.random.default_rng(seed)

    def loss(rows: Tensor) -> Tensor:
        shown = [pictures.shown[row] for row in rows.tolist()]
        asked = [_question(scene, rng) for scene in shown]
        questions = []
        for scene, (question, _) in zip(shown, asked, strict=True):
            told = ", ".join(f"{thing.colour} {thing.shape}" for thing in scene.things)
            questions.append(f"{told}. {question}")
        text = encode(questions, [answer for _, answer in asked])
        return _answer_loss(model, language(**text).logits, text["labels"])

    yield from _descend([language], loss, len(pictures.shown), steps, seed)


def _answer_loss(
    model: Any,
    logits: Float[Tensor, "row token word"],
    labels: Int[Tensor, "row token"],
) -> Float[Tensor, ""]:
    """Cross-entropy of the answers, in which a long one weighs no more than a short one."""
    if model.config.use_decoder_only_language_model:
        logits = logits[:, :-1]
        labels = labels[:, 1:]
    losses = F.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=NO_LABEL, reduction="none"
    )
    return (losses.sum(1) / (labels != NO_LABEL).sum(1)).mean()


def teach_guide(
    model: Any,
    encode: Callable[[Sequence[str]], dict[str, Tensor]],
    pictures: Gallery,
    steps: int,
    seed: int,
) -> Iterator[str]:
    """CLIP's contrastive loss (arXiv 2103.00020); pictures with equal captions count as each
    other's matches.
    """

    def loss(rows: Tensor) -> Tensor:
        captions = [pictures.shown[row].caption for row in rows.tolist()]
        logits = model(
            pixel_values=pictures.batch(rows), **encode(captions)
        ).logits_per_image
        same = torch.tensor([[float(a == b) for b in captions] for a in captions])
        want = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, want) + F.cross_entropy(logits.T, want)) / 2

    yield from _descend([model], loss, len(pictures.shown), steps, seed, batch=96)
