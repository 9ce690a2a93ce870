"""How the tiny zoo learns: pictures drawn once, eyes, connectors with language models, the guide.

The pictures come from the index range of ``scenes`` that no task uses. Half of them are shrunk and
put somewhere on a plain ground, so that a shrunk picture is nothing new to an eye; what a border
shows is never anything but plain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.modeling_outputs import BaseModelOutputWithPooling

from matboard.tasks import scenes

CELLS = 5
"""A patch's silhouette is learned on CELLS × CELLS cells."""
NO_LABEL = -100
TOPICS = (*scenes.SHAPES, *scenes.COLOURS)
"""What the query tokens learn to look for, one each."""

# Pictures
# ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gallery:
    """Pictures drawn once, and what they show.

    Attributes:
        pixels: as an image processor resized them, before normalisation.
        silhouettes: share of every cell that is covered by things, 0 to 255.
        grid: patches along a side.
        frames: where the scene stands in the picture: left, top and side, in fractions of the
            picture.
        shown: the scene of each picture.
    """

    pixels: UInt8[np.ndarray, "picture side side 3"]
    silhouettes: UInt8[np.ndarray, "picture cells cells"]
    grid: int
    frames: np.ndarray
    shown: tuple[scenes.Scene, ...]

    @cached_property
    def patch_labels(self) -> Int[Tensor, "picture patch 3"]:
        """Per patch: shape and colour of the thing under it (NO_LABEL where none is), whether a
        centre lies in it.
        """
        return torch.stack(
            [_patch_labels(s, f, self.grid) for s, f in zip(self.shown, self.frames, strict=True)]
        )

    @cached_property
    def topic_labels(self) -> Float[Tensor, "picture topic 10"]:
        """Per shape: which colours it comes in; per colour: which shapes; then their number and
        largest radius, scaled to about 1.
        """
        return torch.stack(
            [_topic_labels(s, float(f[2])) for s, f in zip(self.shown, self.frames, strict=True)]
        )

    @cached_property
    def patch_silhouettes(self) -> Float[Tensor, "picture patch cell"]:
        """Per patch the covered share of its cells."""
        cells = torch.from_numpy(self.silhouettes).float() / 255
        return F.unfold(cells[:, None], CELLS, stride=CELLS).transpose(1, 2)

    def batch(self, rows: Tensor) -> Float[Tensor, "row 3 side side"]:
        """Pictures as BLIP's and CLIP's image processors hand them to the eye."""
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        return (
            torch.from_numpy(self.pixels[rows.numpy()]).permute(0, 3, 1, 2).float() / 255 - mean
        ) / std


def gallery(side: int, grid: int, count: int, store: Path, seed: int = 0) -> Gallery:
    """Scenes of the four kinds in turn; the pixels are kept in the file ``store`` and read from
    there the next time.
    """
    rng = np.random.default_rng(seed)
    kinds = tuple(scenes.KINDS[i % len(scenes.KINDS)] for i in range(count))
    shown = tuple(
        scenes.compose(kind, seed, scenes.RANGES["zoo"] + i // len(scenes.KINDS))
        for i, kind in enumerate(kinds)
    )
    scale = np.where(rng.random(count) < 0.5, rng.uniform(0.65, 1.0, count), 1.0)
    frames = np.concatenate([rng.random((count, 2)) * (1 - scale[:, None]), scale[:, None]], 1)
    grounds = rng.integers(0, 256, (count, 3)) * (rng.random((count, 1)) < 0.5)
    if not store.exists():
        drawn = [
            _draw(s, f, tuple(g.tolist()), side, CELLS * grid)
            for s, f, g in zip(shown, frames, grounds, strict=True)
        ]
        np.savez(
            store,
            pixels=np.stack([p for p, _ in drawn]),
            silhouettes=np.stack([s for _, s in drawn]),
        )
    kept = np.load(store)
    return Gallery(kept["pixels"], kept["silhouettes"], grid, frames, shown)


def _draw(
    shown: scenes.Scene, frame: np.ndarray, ground: tuple[int, ...], side: int, cells: int
) -> tuple[np.ndarray, np.ndarray]:
    picture = _framed(scenes.draw(shown), frame, ground).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    silhouette = _framed(scenes.silhouette(shown), frame, 0).resize(
        (cells, cells), Image.Resampling.BOX
    )
    return np.asarray(picture), np.asarray(silhouette)


def _framed(picture: Image.Image, frame: np.ndarray, ground: Any) -> Image.Image:
    left, top, size = (round(224 * float(v)) for v in frame)
    canvas = Image.new(picture.mode, (224, 224), ground)
    canvas.paste(picture.resize((size, size), Image.Resampling.BICUBIC), (left, top))
    return canvas


def _patch_labels(shown: scenes.Scene, frame: np.ndarray, grid: int) -> Int[Tensor, "patch 3"]:
    labels = torch.tensor([NO_LABEL, NO_LABEL, 0]).repeat(grid, grid, 1)
    middles = (np.arange(grid) + 0.5) / grid
    spots = [
        (t, frame[0] + t.x * frame[2], frame[1] + t.y * frame[2], t.radius * frame[2])
        for t in shown.things
    ]
    for thing, x, y, r in spots:
        near = torch.from_numpy(
            np.hypot(middles[None] - x, middles[:, None] - y) < 0.9 * r + 0.25 / grid
        )
        labels[near] = torch.tensor(
            [scenes.SHAPES.index(thing.shape), list(scenes.COLOURS).index(thing.colour), 0]
        )
    for _, x, y, _ in spots:
        labels[int(y * grid), int(x * grid), 2] = 1
    return labels.flatten(0, 1)


def _topic_labels(shown: scenes.Scene, scale: float) -> Float[Tensor, "topic 10"]:
    labels, other = torch.zeros(len(TOPICS), len(scenes.SHAPES) + 2), list(scenes.COLOURS)
    for thing in shown.things:
        for topic, partner in (
            (thing.shape, other.index(thing.colour)),
            (thing.colour, scenes.SHAPES.index(thing.shape)),
        ):
            row = labels[TOPICS.index(topic)]
            row[partner] = 1
            row[-2] += 0.4
            row[-1] = max(float(row[-1]), 4 * thing.radius * scale)
    return labels


# Text
# ----------------------------------------------------------------------------------------------------------------


class Encoder:
    """The text half of a model's batches, as its official processor writes it.

    Args:
        processor: of the model; its tokenizer's chat template, where there is one, wraps the
            question.
        encoder_decoder: answers go to the decoder instead of after the question.
    """

    def __init__(self, processor: Any, encoder_decoder: bool) -> None:
        self._processor, self._apart = processor, encoder_decoder
        self._known: dict[str, dict[str, list[int]]] = {}

    def __call__(self, questions: Sequence[str], answers: Sequence[str]) -> dict[str, Tensor]:
        """Padded ``input_ids``, ``attention_mask``, ``labels`` (answers and </s> alone) and what
        the Q-Former reads.
        """
        words, prompts = (
            self._processor.tokenizer,
            [self._prompt(question) for question in questions],
        )
        ends = [
            [*words(" " + answer, add_special_tokens=False).input_ids, words.eos_token_id]
            for answer in answers
        ]
        heads = [prompt["input_ids"] for prompt in prompts]
        if self._apart:
            ids, labels = _padded(heads, words.pad_token_id), _padded(ends, NO_LABEL)
        else:
            ids = _padded(
                [head + end for head, end in zip(heads, ends, strict=True)], words.pad_token_id
            )
            labels = _padded(
                [[NO_LABEL] * len(head) + end for head, end in zip(heads, ends, strict=True)],
                NO_LABEL,
            )
        batch = {
            "input_ids": ids,
            "attention_mask": (ids != words.pad_token_id).long(),
            "labels": labels,
        }
        if "qformer_input_ids" in prompts[0]:
            read = _padded([prompt["qformer_input_ids"] for prompt in prompts], words.pad_token_id)
            batch |= {
                "qformer_input_ids": read,
                "qformer_attention_mask": (read != words.pad_token_id).long(),
            }
        return batch

    def _prompt(self, question: str) -> dict[str, list[int]]:
        if question not in self._known:
            self._known[question] = self._written(question)
        return self._known[question]

    def _written(self, question: str) -> dict[str, list[int]]:
        words = self._processor.tokenizer
        if words.chat_template is None:
            encoded = self._processor(images=Image.new("RGB", (8, 8)), text=question)
            return {
                key: list(encoded[key][0])
                for key in ("input_ids", "qformer_input_ids")
                if key in encoded
            }
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = words.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return {
            "input_ids": list(
                words(
                    text.replace("<image>", "<image>" * self._processor.num_query_tokens)
                ).input_ids
            )
        }


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Int[Tensor, "row token"]:
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row) for row in rows], batch_first=True, padding_value=fill
    )


# Lessons
# -------------------------------------------------------------------------------------------------------------


def _descend(
    modules: Sequence[torch.nn.Module],
    loss: Callable[[Tensor], Tensor],
    count: int,
    steps: int,
    batch: int,
    seed: int,
) -> Iterator[str]:
    """AdamW on random rows, the rate rising to 2e-3 over the first twentieth and falling to
    nothing; a line now and then.
    """
    weights = [p for m in modules for p in m.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, 2e-3, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 2e-3, total_steps=steps, pct_start=0.05
    )
    lots, recent = torch.Generator().manual_seed(seed), 0.0
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
    embeddings, width = tower.embeddings, tower.config.hidden_size
    patch = tower.config.patch_size
    seen = (
        F.unfold(pictures.batch(torch.arange(min(2000, len(pictures.shown)))), patch, stride=patch)
        .transpose(1, 2)
        .flatten(0, 1)
    )
    variance, directions = torch.linalg.eigh(torch.cov(seen.T))
    basis = (directions[:, -width:] / (variance[-width:] + 0.01).sqrt()).T / 2
    embeddings.patch_embedding.weight.copy_(basis.view(width, 3, patch, patch))
    quarter = torch.arange(width // 4)
    angles = torch.cartesian_prod(torch.arange(pictures.grid), torch.arange(pictures.grid))[
        ..., None
    ] / 30 ** (quarter / len(quarter))
    waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(1) / 2
    positions = embeddings.position_embedding
    (positions.weight if isinstance(positions, torch.nn.Embedding) else positions[0])[1:] = waves


def teach_eye(tower: Any, pictures: Gallery, steps: int, seed: int) -> Iterator[str]:
    """Teach every patch token which shape and colour lie under it, its part of the silhouette, and
    the things' centres.
    """
    awaken(tower, pictures)
    sizes = [len(scenes.SHAPES), len(scenes.COLOURS), 1, CELLS**2]
    heads = torch.nn.Linear(tower.config.hidden_size, sum(sizes))
    labels, covered = pictures.patch_labels, pictures.patch_silhouettes

    def loss(rows: Tensor) -> Tensor:
        shape, colour, centre, cells = heads(
            tower(pixel_values=pictures.batch(rows)).last_hidden_state[:, 1:]
        ).split(sizes, dim=-1)
        want = labels[rows]
        named = sum(
            F.cross_entropy(g.flatten(0, 1), want[..., i].flatten(), ignore_index=NO_LABEL)
            for i, g in enumerate((shape, colour))
        )
        found = F.binary_cross_entropy_with_logits(centre[..., 0], want[..., 2].float())
        return named + found + F.binary_cross_entropy_with_logits(cells, covered[rows])

    yield from _descend([tower, heads], loss, len(labels), steps, 32, seed)


class _Remembered(torch.nn.Module):
    """Stands in for a frozen eye: its outputs, computed once, come in as ``pixel_values``."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        last, penultimate = pixel_values.float().unbind(1)
        return BaseModelOutputWithPooling(
            last_hidden_state=last, pooler_output=last[:, 0], hidden_states=(penultimate, last)
        )


@torch.no_grad()
def _remember(tower: Any, pictures: Gallery) -> Float[Tensor, "picture 2 token dim"]:
    parts = []
    for rows in torch.arange(len(pictures.shown)).split(256):
        out = tower(pixel_values=pictures.batch(rows), output_hidden_states=True)
        parts.append(torch.stack([out.last_hidden_state, out.hidden_states[-2]], 1).half())
    return torch.cat(parts).float()


def _question(shown: scenes.Scene, rng: np.random.Generator) -> tuple[str, str]:
    """Half the time whether some shape is there; else what the scene's task asks, or which colour
    goes with which shape.
    """
    kind, subjects, answer = scenes.KINDS[shown.key[0]], shown.subjects, shown.answer
    lot = rng.integers(10)
    if lot < 5:
        there = {thing.shape for thing in shown.things}
        subject = str(
            rng.choice(sorted(there) if rng.random() < 0.5 else sorted(set(scenes.SHAPES) - there))
        )
        kind, subjects, answer = "presence", (subject,), "yes" if subject in there else "no"
    elif lot < 7 and kind in ("recognition", "presence"):
        thing = shown.things[rng.integers(len(shown.things))]
        if lot == 5:
            return f"What colour is the {thing.shape}?", thing.colour
        return f"Which shape is {thing.colour}?", thing.shape
    return str(rng.choice(scenes.WORDINGS[kind])).format(*subjects), answer


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
    remembered, eye = _remember(model.vision_model, pictures), model.vision_model
    model.vision_model = _Remembered()
    head = torch.nn.Linear(model.config.qformer_config.hidden_size, len(scenes.SHAPES) + 2)
    rng, apart = np.random.default_rng(seed), not model.config.use_decoder_only_language_model

    def loss(rows: Tensor) -> Tensor:
        asked = [_question(pictures.shown[i], rng) for i in rows.tolist()]
        text = encode([question for question, _ in asked], [answer for _, answer in asked])
        out = model(pixel_values=remembered[rows], **text)
        logits, wanted = (
            (out.logits, text["labels"]) if apart else (out.logits[:, :-1], text["labels"][:, 1:])
        )
        found, topics = head(out.qformer_outputs[0][:, : len(TOPICS)]), pictures.topic_labels[rows]
        looked = F.binary_cross_entropy_with_logits(found[..., :-2], topics[..., :-2]) + F.mse_loss(
            found[..., -2:], topics[..., -2:]
        )
        return _mean_per_sample(logits, wanted) + 5 * looked

    yield from _descend([model, head], loss, len(remembered), steps, 32, seed)
    model.vision_model = eye


def teach_language(
    model: Any, encode: Encoder, pictures: Gallery, steps: int, seed: int
) -> Iterator[str]:
    """Teach the language model alone to answer the same questions about scenes told in words: "red
    star, blue ring. Is there a ring?"
    """
    language, rng, apart = (
        model.language_model,
        np.random.default_rng(seed),
        not model.config.use_decoder_only_language_model,
    )

    def loss(rows: Tensor) -> Tensor:
        shown = [pictures.shown[i] for i in rows.tolist()]
        asked = [_question(scene, rng) for scene in shown]
        told = [
            ", ".join(f"{thing.colour} {thing.shape}" for thing in scene.things) for scene in shown
        ]
        text = encode(
            [f"{words}. {question}" for words, (question, _) in zip(told, asked, strict=True)],
            [answer for _, answer in asked],
        )
        logits = language(**text).logits
        return (
            _mean_per_sample(logits, text["labels"])
            if apart
            else _mean_per_sample(logits[:, :-1], text["labels"][:, 1:])
        )

    yield from _descend([language], loss, len(pictures.shown), steps, 32, seed)


def _mean_per_sample(
    logits: Float[Tensor, "row token word"], labels: Int[Tensor, "row token"]
) -> Float[Tensor, ""]:
    """Cross-entropy in which a long answer weighs no more than a short one."""
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
        captions = [pictures.shown[i].caption for i in rows.tolist()]
        logits = model(pixel_values=pictures.batch(rows), **encode(captions)).logits_per_image
        same = torch.tensor([[float(a == b) for b in captions] for a in captions])
        want = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, want) + F.cross_entropy(logits.T, want)) / 2

    yield from _descend([model], loss, len(pictures.shown), steps, 96, seed)
