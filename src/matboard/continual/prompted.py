"""The learner that all prompt methods share: prompts from a source enter a frozen ViT, a head reads
what comes out.

One step, for samples x with labels y of task t:

    prompts = source(query(x))                         a pool, pictures or a generator
    out     = backbone(tokens(x), prompts)             frozen
    loss    = cross-entropy(head(read(out)), y)  +  Σ weight · the source's own losses  +  distillation

The cross-entropy is over the current task's classes alone (L2P §4: logits of other classes are
masked), else a head learned last outshouts the others. At test all classes taught so far compete.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from matboard.continual.controls import RidgeHead
from matboard.continual.distillation import QueryMemory, logit_distillation
from matboard.continual.eye import Batch, FrozenEye
from matboard.continual.learner import Choice, Learner, LearnStep, rng, seeded
from matboard.errors import ConfigError
from matboard.models.capabilities import Outputs
from matboard.prompts.image_tokens import ImagePrompts
from matboard.prompts.pool import Prompted, PromptSource
from matboard.tasks.stream import StreamTask
from matboard.tasks.task import Sample

Read = Literal["prompts", "cls"]
Head = Literal["linear", "ridge", "ridge-both"]


@dataclass(frozen=True)
class Training:
    """How a prompted learner learns; the defaults are L2P's as its PyTorch code has them, with the
    clean query.

    Attributes:
        lr: of Adam, reset with every task (0.03 · 16 / 256).
        clip: largest global gradient norm; None for no bound.
        layer: the block at which prompts enter.
        read: what the head reads: the mean of the prompts' outputs (L2P), or the CLS token.
        head: ``linear``, trained with the prompts; or a ridge head on what is read, refitted after
            each task from running sums, so that classes of all tasks are calibrated against each
            other; ``ridge-both`` gives it the frozen query too.
        zero_head: start the linear head from zero.
        adapt: prompts are learned on so many tasks and then left alone, so that what the head reads
            no longer drifts; None for all. RanPAC (arXiv 2307.02251) and APER (arXiv 2303.07338)
            adapt to the first task only. 0 leaves them as they were drawn, a control for what a
            second set of features is worth by itself.
        mask: cross-entropy over the current task's classes alone.
        augment: random crops and flips in training.
        clean_query: in training, choose by the clean picture's kept query rather than the augmented
            one's.
    """

    lr: float = 0.001875
    epochs: int = 5
    batch_size: int = 16
    clip: float | None = 1.0
    layer: int = 0
    read: Read = "prompts"
    head: Head = "linear"
    zero_head: bool = False
    adapt: int | None = None
    mask: bool = True
    augment: bool = True
    clean_query: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Distillation:
    """What is held fast from one task to the next.

    Attributes:
        logits: weight of LwF's loss on old classes' logits, whose targets are computed once a task
            on clean pictures.
        generator: weight of ‖G(z) − G_old(z)‖² over remembered query statistics, mean over drawn z
            and prompt values.
        draws: queries drawn a step.
    """

    logits: float = 0.0
    generator: float = 0.0
    temperature: float = 2.0
    draws: int = 32


@dataclass
class _Stage:
    """What is true while one task is learned."""

    task: StreamTask
    labels: Tensor
    allowed: Tensor
    old: list[int]
    teacher: Tensor | None = None
    generator: PromptSource | None = None


class PromptedLearner(Learner):
    """Prompts from ``source`` and a head, learned together; see the module.

    Args:
        classes: of the whole stream.
        weights: of the source's own losses, by name; what is not named is not minimised.

    Raises:
        ConfigError: distillation of a generator where the source is none; a layer that the backbone
            does not have.
    """

    def __init__(
        self,
        eye: FrozenEye,
        source: PromptSource,
        classes: int,
        training: Training,
        *,
        weights: Mapping[str, float] | None = None,
        distillation: Distillation | None = None,
        position: Literal["none", "cls"] = "none",
        flags: Sequence[str] = (),
    ) -> None:
        backbone = eye.backbone
        if not 0 <= training.layer < backbone.depth:
            raise ConfigError(
                f"Prompts were to enter block {training.layer}, but {backbone.name} has blocks 0 to"
                f" {backbone.depth - 1}."
            )
        if training.read == "cls" and not backbone.special:
            raise ConfigError(
                f"{backbone.name} has no CLS token for the head to read; use read: prompts."
            )
        if (
            distillation
            and distillation.generator
            and source.generate(torch.zeros(1, backbone.dim)) is None
        ):
            raise ConfigError(
                "A generator's output was to be distilled, but this learner has no generator that"
                " works from queries."
            )
        self.eye, self.source, self.training, self.layer = eye, source, training, training.layer
        self.weights, self.distillation, self.flags = (
            dict(weights or {}),
            distillation or Distillation(),
            tuple(flags),
        )
        self.seen = torch.zeros(classes, dtype=torch.bool)
        self.head = seeded(training.seed, lambda: nn.Linear(backbone.dim, classes))
        if training.zero_head:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
        width = backbone.dim * (2 if training.head == "ridge-both" else 1)
        self.ridge = None if training.head == "linear" else RidgeHead(classes, width)
        self.memory = QueryMemory(classes, backbone.dim) if self.distillation.generator else None
        self.learned = torch.zeros((), dtype=torch.long)
        self._position = (
            backbone.cls_position if position == "cls" else torch.zeros_like(backbone.cls_position)
        )
        self._device = backbone.cls_position.device
        self.source.to(self._device)
        self.head.to(self._device)

    # -- the contract
    # --------------------------------------------------------------------------------------------------

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        stage = self._begin(task)
        optimiser = torch.optim.Adam(self._learning(), lr=self.training.lr)
        size, index = self.training.batch_size, 0
        epochs = 0 if self._settled and self.ridge is not None else self.training.epochs
        total = epochs * -(-len(task.train) // size)
        for epoch in range(epochs):
            order = torch.randperm(
                len(task.train), generator=rng(self.training.seed, task.index, epoch)
            )
            for part in order.split(size):
                yield self._step(stage, part, optimiser, index, total)
                index += 1
        self._end(stage)
        self.learned += 1

    @torch.no_grad()
    def scores(self, batch: Batch) -> Float[Tensor, "batch class"]:
        """See `Learner.scores`."""
        self.source.eval()
        features = self._features(batch, self._prompts(batch))
        return (
            self.head(features).cpu()
            if self.ridge is None
            else self.ridge.scores(self._calibrated(features, batch).cpu())
        )

    @torch.no_grad()
    def choice(self, batch: Batch) -> Choice | None:
        """See `Learner.choice`."""
        self.source.eval()
        made = self._prompts(batch)
        return (
            None
            if made.chosen is None or made.similarity is None
            else Choice(made.chosen.cpu(), made.similarity.cpu())
        )

    def pictures(self) -> UInt8[Tensor, "count 3 height width"] | None:
        """See `Learner.pictures`."""
        return self.source.pictures() if isinstance(self.source, ImagePrompts) else None

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        kept = {f"source.{name}": t for name, t in self.source.state_dict(keep_vars=True).items()}
        kept |= {f"head.{name}": t for name, t in self.head.state_dict(keep_vars=True).items()}
        kept["learned"] = self.learned
        return (
            kept
            | (self.ridge.tensors() if self.ridge else {})
            | (self.memory.tensors() if self.memory else {})
        )

    @property
    def trainable(self) -> int:
        """See `Learner.trainable`."""
        if self.training.adapt == 0 and self.ridge is not None:
            return 0
        return sum(p.numel() for p in self._parameters())

    # -- one task
    # ------------------------------------------------------------------------------------------------------

    def _begin(self, task: StreamTask) -> _Stage:
        """Note what is to be held fast, then open the task."""
        old = [c for c in torch.nonzero(self.seen).flatten().tolist() if c not in task.classes]
        teacher = self._teach_old(task, old) if old and self.distillation.logits else None
        frozen = (
            copy.deepcopy(self.source).eval().requires_grad_(False)
            if self.memory and bool(self.memory.known.any())
            else None
        )
        labels = self.teach(task)
        clean = self.eye.batch(task.train)
        self.source.begin(clean.query, clean.images.to(self._device), labels)
        allowed = torch.zeros_like(self.seen)
        allowed[list(task.classes)] = True
        return _Stage(
            task, labels, allowed if self.training.mask else self.seen.clone(), old, teacher, frozen
        )

    def _step(
        self,
        stage: _Stage,
        part: Int[Tensor, " batch"],
        optimiser: torch.optim.Optimizer,
        index: int,
        total: int,
    ) -> LearnStep:
        self.source.train()
        noise = int(rng(self.training.seed, stage.task.index, index, 2).initial_seed()) % 2**31
        losses = seeded(noise, lambda: self._losses(stage, part, index))
        held = {
            "distillation": self.distillation.logits,
            "generator_distillation": self.distillation.generator,
        }
        weights = {"task_loss": 1.0, **self.weights, **held}
        loss = torch.stack(
            [weights[name] * value for name, value in losses.items() if weights.get(name)]
        ).sum()
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(
            self._learning(), torch.inf if self.training.clip is None else self.training.clip
        )
        if finite := bool(norm.isfinite()):
            optimiser.step()
        said = {name: float(value.detach()) for name, value in losses.items()}
        return LearnStep(index + 1, total, float(loss.detach()), said, skipped=not finite)

    def _losses(self, stage: _Stage, part: Int[Tensor, " batch"], index: int) -> dict[str, Tensor]:
        """Every term before its weight."""
        samples = [stage.task.train[i] for i in part.tolist()]
        batch = self._training_batch(
            samples, stage.task.mirror, rng(self.training.seed, stage.task.index, index, 1)
        )
        made = self._prompts(batch)
        logits = self.head(self._features(batch, made))
        masked = logits.masked_fill(~stage.allowed.to(self._device), -torch.inf)
        losses = {
            "task_loss": F.cross_entropy(masked, stage.labels[part].to(self._device)),
            **made.losses,
        }
        if stage.teacher is not None:
            losses["distillation"] = logit_distillation(
                logits[:, stage.old], stage.teacher[part], self.distillation.temperature
            )
        if stage.generator is not None and self.memory is not None:
            z = self.memory.draw(
                self.distillation.draws, rng(self.training.seed, stage.task.index, index, 3)
            ).to(self._device)
            new, old = self.source.generate(z), stage.generator.generate(z)
            assert new is not None and old is not None  # looked at when this learner was made
            losses["generator_distillation"] = F.mse_loss(new, old)
        return losses

    @torch.no_grad()
    def _end(self, stage: _Stage) -> None:
        """Remember what later tasks need."""
        if self.memory is not None:
            self.memory.add(self.eye.batch(stage.task.train).query.cpu(), stage.labels)
        if self.ridge is not None:
            self.source.eval()
            features = torch.cat(
                [
                    self._calibrated(self._features(b, self._prompts(b)), b)
                    for b in self._clean_batches(stage.task)
                ]
            )
            self.ridge.add(
                features.cpu(), stage.labels, rng(self.training.seed, stage.task.index, 4)
            )

    @torch.no_grad()
    def _teach_old(self, task: StreamTask, old: list[int]) -> Float[Tensor, "n old"]:
        """The old network's logits of old classes, on the new task's clean pictures."""
        self.source.eval()
        return torch.cat(
            [
                self.head(self._features(b, self._prompts(b)))[:, old]
                for b in self._clean_batches(task)
            ]
        )

    # -- pieces
    # --------------------------------------------------------------------------------------------------------

    def _training_batch(
        self, samples: Sequence[Sample], mirror: bool, generator: torch.Generator
    ) -> Batch:
        layer = self.training.layer
        if self.training.augment:
            return self.eye.augmented(
                samples, layer, generator, clean_query=self.training.clean_query, mirror=mirror
            )
        return self.eye.batch(samples, layer)

    def _clean_batches(self, task: StreamTask) -> Iterator[Batch]:
        size = self.eye.batch_size
        for start in range(0, len(task.train), size):
            yield self.eye.batch(task.train[start : start + size], self.training.layer)

    def _prompts(self, batch: Batch) -> Prompted:
        return self.source(batch.query, batch.images.to(self._device))  # type: ignore[no-any-return]

    def _features(self, batch: Batch, made: Prompted) -> Float[Tensor, "batch dim"]:
        """What the head reads."""
        if batch.tokens is None:
            raise ConfigError(
                "A prompted learner needs the tokens that its prompts join; make the batch with its"
                " layer."
            )
        layer = self.training.layer
        out = self.eye.backbone.forward(
            batch.tokens, {layer: made.tokens + self._position}, start=layer
        )
        return self._read(out).float()

    def _read(self, out: Outputs) -> Float[Tensor, "batch dim"]:
        return out.prompts.mean(dim=1) if self.training.read == "prompts" else out.tokens[:, 0]

    def _calibrated(
        self, features: Float[Tensor, "batch dim"], batch: Batch
    ) -> Float[Tensor, "batch feature"]:
        unit = F.normalize(features, dim=-1)
        return (
            unit
            if self.training.head == "ridge"
            else torch.cat([unit, F.normalize(batch.query, dim=-1)], dim=1)
        )

    @property
    def _settled(self) -> bool:
        """Whether prompts have seen as many tasks as they are adapted to."""
        return self.training.adapt is not None and int(self.learned) >= self.training.adapt

    def _learning(self) -> list[nn.Parameter]:
        return list(self.head.parameters()) if self._settled else self._parameters()

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.source.parameters(), *self.head.parameters()]
