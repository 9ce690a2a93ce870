"""How the mini zoo's connectors learn: frozen eyes, cached tokens, short answers.

The model that is trained is the very model that is shipped, save that its eye hands back cached
tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling

from recipes.mini.questions import Album, Example, Questions
from recipes.mini.text import Encoder


class CachedEye(nn.Module):
    """Stands in for an eye: its "pixels" are tokens already."""

    def forward(
        self, pixel_values: Float[Tensor, "batch token dim"], **_: Any
    ) -> BaseModelOutputWithPooling:
        """The tokens, as any eye returns them."""
        return BaseModelOutputWithPooling(
            last_hidden_state=pixel_values,
            pooler_output=pixel_values[:, 0],
            hidden_states=(pixel_values,),
        )


def blindfold(model: Any) -> None:
    """Put a `CachedEye` in place of the model's eye."""
    if hasattr(model, "vision_model"):
        model.vision_model = CachedEye()
    else:
        model.model.vision_tower = CachedEye()


def see(
    model: Any, batch: dict[str, Tensor], tokens: Float[Tensor, "batch token dim"]
) -> Any:
    """The model's image features of eye tokens; ``pooler_output`` is what enters the language
    model.
    """
    read = {key: value for key, value in batch.items() if key.startswith("qformer")}
    return model.get_image_features(tokens, **read)


def answer_log_likelihood(
    model: Any, batch: dict[str, Tensor], seen: Any
) -> Float[Tensor, "batch"]:
    """Mean log-likelihood of each answer's tokens; the vocabulary is looked at only where an answer
    is predicted.
    """
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "pixel_values": None,
        "mm_encoder_outputs": {"image": seen},
    }
    targets = batch["labels"][:, 1:]
    where = targets >= 0
    if hasattr(model, "lm_head"):
        hidden = model.model(**inputs).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][where])
    else:
        if "qformer_input_ids" in batch:
            inputs["qformer_input_ids"] = None
        logits = model(**inputs).logits[:, :-1][where]
    each = functional.cross_entropy(logits.float(), targets[where], reduction="none")
    total = torch.zeros(targets.shape).masked_scatter(where, -each)
    return total.sum(1) / where.sum(1)


@dataclass(frozen=True)
class Training:
    """How long and how hard a connector is trained.

    Attributes:
        steps: updates.
        batch: questions per update.
        rate: peak learning rate of AdamW; a cosine to zero after 5 % warm-up.
        decay: weight decay.
        noise: Gaussian noise on the eye's tokens, in standard deviations of each channel.
        keep: share of the tokens a Q-Former sees in an update (class token always); 1 keeps all.
        contrast: weight of the contrast between visual tokens and name embeddings (BLIP-2's
            image-text contrast, arXiv 2301.12597 §3.2).
        seed: of weights, questions and noise.
    """

    steps: int
    batch: int
    rate: float
    decay: float = 0.05
    noise: float = 0.3
    keep: float = 1.0
    contrast: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Update:
    """What one update did."""

    step: int
    loss: float


class _Course:
    """What the two trainings share: AdamW under a cosine, and noise on the eye's tokens."""

    def __init__(
        self,
        model: Any,
        album: Album,
        how: Training,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.weights = [p for p in model.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(
            self.weights, lr=how.rate, weight_decay=how.decay, betas=betas
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: _cosine(step, how.steps)
        )
        self._generator = torch.Generator().manual_seed(how.seed)
        self._album = album
        self._keep = how.keep
        some = album.tokens(range(0, len(album), max(1, len(album) // 300)))
        self._scale = how.noise * some.std((0, 1))

    def tokens(self, examples: Sequence[Example]) -> Float[Tensor, "example token dim"]:
        """The eye's tokens of the examples' pictures, some of them left out, with noise."""
        tokens = self._album.tokens([example.row for example in examples])
        if self._keep < 1:
            others = tokens.shape[1] - 1
            order = torch.randperm(others, generator=self._generator)
            kept = order[: int(self._keep * others)].sort().values + 1
            first = torch.zeros(1, dtype=torch.long)
            tokens = tokens[:, torch.cat([first, kept])]
        return tokens + self._scale * torch.randn(
            tokens.shape, generator=self._generator
        )

    def update(self, loss: Tensor, *, clip: bool) -> None:
        """One step of the optimiser."""
        self._optimiser.zero_grad()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(self.weights, 1.0)
        self._optimiser.step()
        self._schedule.step()


def train(
    model: Any, encoder: Encoder, album: Album, questions: Questions, how: Training
) -> Iterator[Update]:
    """Train whatever parameters of ``model`` require a gradient on drawn questions."""
    course = _Course(model, album, how, betas=(0.9, 0.98))
    names = NameTable(encoder.tokenizer, questions.everything)
    model.train()
    for step in range(how.steps):
        examples = [questions.draw() for _ in range(how.batch)]
        batch = encoder(
            [e.question for e in examples], [e.answer for e in examples], end=True
        )
        seen = see(model, batch, course.tokens(examples))
        loss = -answer_log_likelihood(model, batch, seen).mean()
        if how.contrast:
            named = [
                place for place, e in enumerate(examples) if e.answer in names.place
            ]
            visual = torch.stack(list(seen.pooler_output))[named].mean(1)
            answers = [examples[place].answer for place in named]
            loss = loss + how.contrast * names.contrast(visual, names(model), answers)
        course.update(loss, clip=True)
        yield Update(step + 1, loss.item())
    model.eval()


def align(
    model: Any, tokenizer: Any, album: Album, questions: Questions, how: Training
) -> Iterator[Update]:
    """Teach a projector the language model's own words, without running it: every visual token
    regresses to its picture's name embedding.

    The squared error's optimum is the names' embeddings weighted by their probability, which a
    frozen language model can already read as text; a contrast over all names keeps near ones apart.
    A cheap start for `train`.
    """
    names = NameTable(tokenizer, questions.everything)
    words = names(model).detach()
    course = _Course(model, album, how)
    for step in range(how.steps):
        examples = [questions.name() for _ in range(how.batch)]
        answers = [example.answer for example in examples]
        features = model.get_image_features(course.tokens(examples))
        seen = torch.stack(list(features.pooler_output))
        wanted = words[[names.place[answer] for answer in answers]]
        error = (seen - wanted[:, None]).square().mean() / words.square().mean()
        loss = error + names.contrast(seen.mean(1), words, answers)
        course.update(loss, clip=False)
        yield Update(step + 1, loss.item())


@torch.no_grad()
def match_moments(
    model: Any, tokenizer: Any, album: Album, names: Sequence[str]
) -> None:
    """Shift and stretch the projector's output to the mean and spread of the names' embeddings.

    Regression shrinks what it is unsure of, and a language model takes the mean of all names for a
    person; measured in docs/log.md.
    """
    words = NameTable(tokenizer, names)(model)
    rows = range(0, len(album), max(1, len(album) // 500))
    seen = torch.cat(list(model.get_image_features(album.tokens(rows)).pooler_output))
    gain = _spread(words) / _spread(seen)
    last = model.model.multi_modal_projector.linear_2
    last.weight.mul_(gain)
    last.bias.copy_((last.bias - seen.mean(0)) * gain + words.mean(0))


def _spread(vectors: Tensor) -> Tensor:
    return (vectors - vectors.mean(0)).square().mean().sqrt()


class NameTable:
    """Names as mean input embeddings of their tokens.

    Args:
        names: what a picture may be called.

    Attributes:
        place: name → its row.
    """

    def __init__(self, tokenizer: Any, names: Sequence[str]) -> None:
        spelt = [f" {name}" for name in names]
        ids = tokenizer(spelt, add_special_tokens=False)["input_ids"]
        self._ids = [torch.tensor(row) for row in ids]
        self.place = {name: place for place, name in enumerate(names)}

    def __call__(self, model: Any) -> Float[Tensor, "name dim"]:
        """The embeddings under the model's present table, float32."""
        lengths = [len(row) for row in self._ids]
        offsets = torch.tensor([0, *lengths]).cumsum(0)[:-1]
        table = model.get_input_embeddings().weight.float()
        return functional.embedding_bag(
            torch.cat(self._ids), table, offsets, mode="mean"
        )

    def contrast(
        self,
        seen: Float[Tensor, "batch dim"],
        words: Float[Tensor, "name dim"],
        answers: Sequence[str],
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the right name among all, by cosine over 0.05 (a guess near CLIP's first
        temperature, 0.07).
        """
        left = functional.normalize(seen, dim=-1)
        right = functional.normalize(words, dim=-1)
        places = [self.place[answer] for answer in answers]
        return functional.cross_entropy(left @ right.T / 0.05, torch.tensor(places))


def _cosine(step: int, steps: int) -> float:
    rising = (step + 1) / max(1, steps // 20)
    done = min(1.0, step / max(1, steps))
    return min(rising, 0.5 * (1 + math.cos(math.pi * done)))


def save_connector(model: Any, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what was trained (``connector.safetensors``, float16) and its ``facts.json``."""
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    state = {}
    for name, value in model.state_dict().items():
        if name in trained:
            state[name] = value.half().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "connector.safetensors", metadata={"format": "pt"})
    (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
