"""The learner that all prompt methods share: prompts from a source enter a frozen ViT, a head reads
what comes out.

One step, for samples x with labels y of task t:

    prompts = source(query(x))                         a pool, pictures or a generator
    out     = backbone(tokens(x), prompts)             frozen
    loss    = cross-entropy(head(read(out)), y)  +  Σ weight · the source's own losses and LwF's

The cross-entropy is over the current task's classes alone (L2P §4: logits of other classes are
masked), else a head learned last outshouts the others. At test all classes taught so far compete.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from matboard.continual.distillation import DRAWS, QueryMemory, logit_distillation
from matboard.continual.eye import FrozenEye, Inputs
from matboard.continual.learner import Choice, Learner, LearnStep, Scores, rng, seeded
from matboard.continual.ridge import RidgeHead
from matboard.continual.training import Training
from matboard.errors import ConfigError
from matboard.prompts.image_tokens import ImagePrompts
from matboard.prompts.pool import Prompted, PromptSource
from matboard.tasks.stream import StreamTask

Losses: TypeAlias = dict[str, Float[Tensor, ""]]


@dataclass
class _Lesson:
    """What is true while one task is learned.

    Attributes:
        allowed: which classes the cross-entropy is over.
        old: classes of earlier tasks.
        teacher: what the old network said of them, on the task's clean pictures.
        generator: the source as it was before this task.
    """

    task: StreamTask
    labels: Tensor
    allowed: Tensor
    old: list[int]
    teacher: Tensor | None
    generator: PromptSource | None


class PromptedLearner(Learner):
    """Prompts from ``source`` and a head, learned together; see the module.

    Args:
        classes: of the whole stream.
        weights: of losses, by name: the source's own, ``distillation`` (LwF on old classes' logits,
            whose targets are computed once a task on clean pictures) and
            ``generator_distillation`` (the generator's output on remembered queries). What is not
            named is not minimised.
        temperature: of LwF.
        position: prompts get none, or the CLS token's.

    Raises:
        ConfigError: distillation of a generator where the source is none; a layer that the backbone
            does not have; a CLS token to be read where there is none.
    """

    def __init__(
        self,
        eye: FrozenEye,
        source: PromptSource,
        classes: int,
        training: Training,
        *,
        weights: Mapping[str, float] | None = None,
        temperature: float = 2.0,
        position: Literal["none", "cls"] = "none",
        flags: Sequence[str] = (),
    ) -> None:
        self.eye = eye
        self.source = source
        self.training = training
        self.layer = training.layer
        self.weights = {"task_loss": 1.0, **(weights or {})}
        self.temperature = temperature
        self.flags = tuple(flags)
        self.seen = torch.zeros(classes, dtype=torch.bool)
        self.learned = torch.zeros((), dtype=torch.long)
        self._check()
        self._make_heads(classes)
        self._device = eye.backbone.cls_position.device
        self._position = torch.zeros_like(eye.backbone.cls_position)
        if position == "cls":
            self._position = eye.backbone.cls_position
        self.source.to(self._device)
        self.head.to(self._device)

    def _check(self) -> None:
        backbone = self.eye.backbone
        if not 0 <= self.training.layer < backbone.depth:
            raise ConfigError(
                f"Prompts were to enter block {self.training.layer}, but {backbone.name} has blocks"
                f" 0 to {backbone.depth - 1}."
            )
        if self.training.read == "cls" and not backbone.special:
            raise ConfigError(
                f"{backbone.name} has no CLS token for the head to read; use read: prompts."
            )
        distilled = self.weights.get("generator_distillation")
        if distilled and self.source.generate(torch.zeros(1, backbone.dim)) is None:
            raise ConfigError(
                "A generator's output was to be distilled, but this learner has no generator that"
                " works from queries."
            )

    def _make_heads(self, classes: int) -> None:
        training = self.training
        dim = self.eye.backbone.dim
        self.head = seeded(training.seed, lambda: nn.Linear(dim, classes))
        if training.zero_head:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
        self.ridge: RidgeHead | None = None
        if training.head != "linear":
            self.ridge = RidgeHead(
                classes, 2 * dim if training.head == "ridge-both" else dim
            )
        self.memory: QueryMemory | None = None
        if self.weights.get("generator_distillation"):
            self.memory = QueryMemory(classes, dim)

    # -- the contract

    def learn(self, task: StreamTask) -> Iterator[LearnStep]:
        """See `Learner.learn`."""
        lesson = self._begin(task)
        optimiser = torch.optim.Adam(self._learning(), lr=self.training.lr)
        size = self.training.batch_size
        epochs = 0 if self._settled and self.ridge is not None else self.training.epochs
        total = epochs * math.ceil(len(task.train) / size)
        index = 0
        for epoch in range(epochs):
            generator = rng(self.training.seed, task.index, epoch)
            order = torch.randperm(len(task.train), generator=generator)
            for part in order.split(size):
                yield self._step(lesson, part, optimiser, index, total)
                index += 1
        self._end(lesson)
        self.learned += 1

    @torch.no_grad()
    def scores(self, inputs: Inputs) -> Scores:
        """See `Learner.scores`."""
        self.source.eval()
        features = self._features(inputs, self._prompts(inputs))
        if self.ridge is None:
            scores: Tensor = self.head(features).cpu()
            return scores
        return self.ridge.scores(self._calibrated(features, inputs).cpu())

    @torch.no_grad()
    def choice(self, inputs: Inputs) -> Choice | None:
        """See `Learner.choice`."""
        self.source.eval()
        made = self._prompts(inputs)
        if made.chosen is None or made.similarity is None:
            return None
        return Choice(made.chosen.cpu(), made.similarity.cpu())

    def pictures(self) -> UInt8[Tensor, "count 3 height width"] | None:
        """See `Learner.pictures`."""
        return self.source.pictures() if isinstance(self.source, ImagePrompts) else None

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        kept = {}
        for owner, module in (("source", self.source), ("head", self.head)):
            for name, tensor in module.state_dict(keep_vars=True).items():
                kept[f"{owner}.{name}"] = tensor
        kept["learned"] = self.learned
        if self.ridge is not None:
            kept |= self.ridge.tensors()
        if self.memory is not None:
            kept |= self.memory.tensors()
        return kept

    @property
    def trainable(self) -> int:
        """See `Learner.trainable`."""
        if self.training.adapt == 0 and self.ridge is not None:
            return 0
        return sum(p.numel() for p in self._parameters())

    # -- one task

    def _begin(self, task: StreamTask) -> _Lesson:
        """Note what is to be held fast, then open the task."""
        earlier = torch.nonzero(self.seen).flatten().tolist()
        old = [label for label in earlier if label not in task.classes]
        teacher = None
        if old and self.weights.get("distillation"):
            teacher = self._teach_old(task, old)
        generator = None
        if self.memory is not None and bool(self.memory.known.any()):
            generator = copy.deepcopy(self.source).eval().requires_grad_(False)
        labels = self.teach(task)
        clean = self.eye.inputs(task.train)
        self.source.begin(clean.query, clean.images.to(self._device), labels)
        allowed = self.seen.clone()
        if self.training.mask:
            allowed[:] = False
            allowed[list(task.classes)] = True
        return _Lesson(task, labels, allowed, old, teacher, generator)

    def _step(
        self,
        lesson: _Lesson,
        part: Int[Tensor, " batch"],
        optimiser: torch.optim.Optimizer,
        index: int,
        total: int,
    ) -> LearnStep:
        self.source.train()
        noise = self._rng(lesson, index, 2).initial_seed() % 2**31
        losses = seeded(noise, lambda: self._losses(lesson, part, index))
        weighted = []
        for name, value in losses.items():
            if weight := self.weights.get(name):
                weighted.append(weight * value)
        loss = torch.stack(weighted).sum()
        optimiser.zero_grad()
        loss.backward()
        bound = torch.inf if self.training.clip is None else self.training.clip
        norm = nn.utils.clip_grad_norm_(self._learning(), bound)
        finite = bool(norm.isfinite())
        if finite:
            optimiser.step()
        said = {name: value.item() for name, value in losses.items()}
        return LearnStep(index + 1, total, loss.item(), said, skipped=not finite)

    def _losses(
        self, lesson: _Lesson, part: Int[Tensor, " batch"], index: int
    ) -> Losses:
        """Every term before its weight."""
        inputs = self._training_inputs(lesson, part, self._rng(lesson, index, 1))
        made = self._prompts(inputs)
        logits = self.head(self._features(inputs, made))
        forbidden = ~lesson.allowed.to(self._device)
        masked = logits.masked_fill(forbidden, -torch.inf)
        labels = lesson.labels[part].to(self._device)
        losses = {"task_loss": F.cross_entropy(masked, labels), **made.losses}
        if lesson.teacher is not None:
            losses["distillation"] = logit_distillation(
                logits[:, lesson.old], lesson.teacher[part], self.temperature
            )
        if lesson.generator is not None and self.memory is not None:
            drawn = self.memory.draw(DRAWS, self._rng(lesson, index, 3))
            queries = drawn.to(self._device)
            new = self.source.generate(queries)
            old = lesson.generator.generate(queries)
            assert (
                new is not None and old is not None
            )  # looked at when this learner was made
            losses["generator_distillation"] = F.mse_loss(new, old)
        return losses

    @torch.no_grad()
    def _end(self, lesson: _Lesson) -> None:
        """Remember what later tasks need."""
        task = lesson.task
        if self.memory is not None:
            queries = self.eye.inputs(task.train).query.cpu()
            self.memory.add(queries, lesson.labels)
        if self.ridge is not None:
            self.source.eval()
            read = []
            for part in self.eye.parts(task.train, self.layer):
                features = self._features(part, self._prompts(part))
                read.append(self._calibrated(features, part))
            generator = rng(self.training.seed, task.index, 4)
            self.ridge.add(torch.cat(read).cpu(), lesson.labels, generator)

    @torch.no_grad()
    def _teach_old(self, task: StreamTask, old: list[int]) -> Float[Tensor, "n old"]:
        """The old network's logits of old classes, on the new task's clean pictures."""
        self.source.eval()
        said = []
        for part in self.eye.parts(task.train, self.layer):
            logits = self.head(self._features(part, self._prompts(part)))
            said.append(logits[:, old])
        return torch.cat(said)

    # -- pieces

    def _rng(self, lesson: _Lesson, index: int, purpose: int) -> torch.Generator:
        return rng(self.training.seed, lesson.task.index, index, purpose)

    def _training_inputs(
        self, lesson: _Lesson, part: Int[Tensor, " batch"], generator: torch.Generator
    ) -> Inputs:
        samples = [lesson.task.train[i] for i in part.tolist()]
        if not self.training.augment:
            return self.eye.inputs(samples, self.layer)
        return self.eye.augmented(
            samples,
            self.training.layer,
            generator,
            clean_query=self.training.clean_query,
            mirror=lesson.task.mirror,
        )

    def _prompts(self, inputs: Inputs) -> Prompted:
        made: Prompted = self.source(inputs.query, inputs.images.to(self._device))
        return made

    def _features(self, inputs: Inputs, made: Prompted) -> Float[Tensor, "batch dim"]:
        """What the head reads."""
        if inputs.tokens is None:
            raise ConfigError(
                "A prompted learner needs the tokens that its prompts join; make the inputs with"
                " its layer."
            )
        layer = self.training.layer
        prompts = {layer: made.tokens + self._position}
        out = self.eye.backbone.forward(inputs.tokens, prompts, start=layer)
        if self.training.read == "prompts":
            return out.prompts.mean(dim=1).float()
        return out.tokens[:, 0].float()

    def _calibrated(
        self, features: Float[Tensor, "batch dim"], inputs: Inputs
    ) -> Float[Tensor, "batch feature"]:
        """What the ridge head reads."""
        unit = F.normalize(features, dim=-1)
        if self.training.head == "ridge":
            return unit
        query = F.normalize(inputs.query, dim=-1)
        return torch.cat([unit, query], dim=1)

    @property
    def _settled(self) -> bool:
        """Whether prompts have seen as many tasks as they are adapted to."""
        adapt = self.training.adapt
        return adapt is not None and int(self.learned) >= adapt

    def _learning(self) -> list[nn.Parameter]:
        return list(self.head.parameters()) if self._settled else self._parameters()

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.source.parameters(), *self.head.parameters()]
