"""The recipe that trains the mini zoo's connectors: frozen eyes, cached tokens, short answers.

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


class Encoder:
    """Questions and answers to token batches.

    Args:
        tokenizer: the model's; its chat template starts with ``bos`` where the model wants one.
        image_tokens: placeholders a picture takes.
        asks_qformer: also give the prompt, without its picture, to the Q-Former.
    """

    def __init__(self, tokenizer: Any, image_tokens: int, *, asks_qformer: bool) -> None:
        self.tokenizer, self.asks_qformer = tokenizer, asks_qformer
        picture = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "{}"}]}]
        template = tokenizer.apply_chat_template(
            picture, tokenize=False, add_generation_prompt=True
        )
        self.template = template.replace("<image>", "<image>" * image_tokens)

    def __call__(
        self, questions: Sequence[str], answers: Sequence[str], *, end: bool
    ) -> dict[str, Tensor]:
        """``input_ids``, ``attention_mask``, ``labels`` (−100 but on the answer), and the
        Q-Former's tokens.
        """
        ask, say = (
            self._ids([self.template.format(q) for q in questions]),
            self._ids([f" {a}" for a in answers]),
        )
        say = [s + [self.tokenizer.eos_token_id] * end for s in say]
        ids = [torch.tensor(a + s) for a, s in zip(ask, say)]
        labels = [torch.tensor([-100] * len(a) + s) for a, s in zip(ask, say)]
        batch = {"input_ids": _pad(ids, self.tokenizer.pad_token_id), "labels": _pad(labels, -100)}
        batch["attention_mask"] = _pad([torch.ones_like(i) for i in ids], 0)
        if self.asks_qformer:
            read = [
                torch.tensor(q)
                for q in self._ids(
                    [self.template.replace("<image>", "").format(q) for q in questions]
                )
            ]
            batch["qformer_input_ids"] = _pad(read, self.tokenizer.pad_token_id)
            batch["qformer_attention_mask"] = _pad([torch.ones_like(q) for q in read], 0)
        return batch

    def _ids(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids


def _pad(rows: list[Tensor], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def see(model: Any, batch: dict[str, Tensor], tokens: Float[Tensor, "batch token dim"]) -> Any:
    """The model's image features of eye tokens; ``pooler_output`` is what enters the language
    model.
    """
    return model.get_image_features(
        tokens, **{k: v for k, v in batch.items() if k.startswith("qformer")}
    )


def answer_log_likelihood(
    model: Any, batch: dict[str, Tensor], seen: Any
) -> Float[Tensor, "batch"]:
    """Mean log-likelihood of each answer's tokens; the vocabulary is looked at only where an answer
    is predicted.
    """
    inputs = {k: batch[k] for k in ("input_ids", "attention_mask")} | {
        "pixel_values": None,
        "mm_encoder_outputs": {"image": seen},
    }
    targets, where = batch["labels"][:, 1:], batch["labels"][:, 1:] >= 0
    if hasattr(model, "lm_head"):
        logits = model.lm_head(model.model(**inputs).last_hidden_state[:, :-1][where])
    else:
        logits = model(
            **inputs, **({"qformer_input_ids": None} if "qformer_input_ids" in batch else {})
        ).logits[:, :-1][where]
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


def train(
    model: Any, encoder: Encoder, album: Album, questions: Questions, how: Training
) -> Iterator[Update]:
    """Train whatever parameters of ``model`` require a gradient on drawn questions."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=how.rate, weight_decay=how.decay, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _cosine(step, how.steps))
    generator = torch.Generator().manual_seed(how.seed)
    scale = how.noise * album.tokens(range(0, len(album), max(1, len(album) // 300))).std((0, 1))
    names = NameTable(encoder.tokenizer, questions.everything)
    model.train()
    for step in range(how.steps):
        examples = [questions.draw() for _ in range(how.batch)]
        batch, tokens = (
            _encode(encoder, examples),
            _seen(album, examples, scale, how.keep, generator),
        )
        seen = see(model, batch, tokens)
        loss = -answer_log_likelihood(model, batch, seen).mean()
        if how.contrast:
            named = [i for i, e in enumerate(examples) if e.answer in names.place]
            visual = torch.stack(list(seen.pooler_output))[named].mean(1)
            loss = loss + how.contrast * names.contrast(
                visual, names(model), [examples[i].answer for i in named]
            )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
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
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=how.rate, weight_decay=how.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _cosine(step, how.steps))
    generator = torch.Generator().manual_seed(how.seed)
    scale = how.noise * album.tokens(range(0, len(album), max(1, len(album) // 300))).std((0, 1))
    for step in range(how.steps):
        examples = [questions.name() for _ in range(how.batch)]
        answers = [e.answer for e in examples]
        seen = torch.stack(
            list(
                model.get_image_features(
                    _seen(album, examples, scale, 1.0, generator)
                ).pooler_output
            )
        )
        error = (
            seen - words[[names.place[a] for a in answers]][:, None]
        ).square().mean() / words.square().mean()
        loss = error + names.contrast(seen.mean(1), words, answers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        yield Update(step + 1, loss.item())


@torch.no_grad()
def match_moments(model: Any, tokenizer: Any, album: Album, names: Sequence[str]) -> None:
    """Shift and stretch the projector's output to the mean and spread of the names' embeddings.

    Regression shrinks what it is unsure of, and a language model takes the mean of all names for a
    person; measured in docs/log.md.
    """
    words, last = NameTable(tokenizer, names)(model), model.model.multi_modal_projector.linear_2
    rows = range(0, len(album), max(1, len(album) // 500))
    seen = torch.cat(list(model.get_image_features(album.tokens(rows)).pooler_output))
    gain = (words - words.mean(0)).square().mean().sqrt() / (
        seen - seen.mean(0)
    ).square().mean().sqrt()
    last.weight.mul_(gain)
    last.bias.copy_((last.bias - seen.mean(0)) * gain + words.mean(0))


class NameTable:
    """Names as mean input embeddings of their tokens.

    Args:
        names: what a picture may be called.
    """

    def __init__(self, tokenizer: Any, names: Sequence[str]) -> None:
        ids = tokenizer([f" {name}" for name in names], add_special_tokens=False)["input_ids"]
        self.ids, self.place = (
            [torch.tensor(i) for i in ids],
            {name: i for i, name in enumerate(names)},
        )

    def __call__(self, model: Any) -> Float[Tensor, "name dim"]:
        """The embeddings under the model's present table, float32."""
        offsets = torch.tensor([0, *(len(i) for i in self.ids)]).cumsum(0)[:-1]
        return functional.embedding_bag(
            torch.cat(self.ids), model.get_input_embeddings().weight.float(), offsets, mode="mean"
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
        scores = functional.normalize(seen, dim=-1) @ functional.normalize(words, dim=-1).T / 0.05
        return functional.cross_entropy(scores, torch.tensor([self.place[a] for a in answers]))


def _encode(encoder: Encoder, examples: Sequence[Example]) -> dict[str, Tensor]:
    return encoder([e.question for e in examples], [e.answer for e in examples], end=True)


def _seen(
    album: Album,
    examples: Sequence[Example],
    scale: Tensor,
    keep: float,
    generator: torch.Generator,
) -> Tensor:
    tokens = album.tokens([e.row for e in examples])
    if keep < 1:
        kept = torch.randperm(tokens.shape[1] - 1, generator=generator)[
            : int(keep * (tokens.shape[1] - 1))
        ]
        tokens = tokens[:, torch.cat([torch.zeros(1, dtype=torch.long), kept.sort().values + 1])]
    return tokens + scale * torch.randn(tokens.shape, generator=generator)


def _cosine(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps)))))


def save_connector(model: Any, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what was trained, float16, and its facts: ``connector.safetensors`` and ``facts.json``."""
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    state = {
        name: value.half().contiguous()
        for name, value in model.state_dict().items()
        if name in trained
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "connector.safetensors", metadata={"format": "pt"})
    (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
