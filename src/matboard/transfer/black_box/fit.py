"""Learn one pixel prompt without gradients: on models that rank candidates, or only write.

way = functools.partial(Spsa, radius=0.05)
for step in BlackBoxFit(prompt, models, task, way=way, schedule=Schedule(0.1, 100)):
    print(step.index, step.queries, step.loss)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from matboard.errors import ConfigError
from matboard.models.capabilities import FrozenModel
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Task
from matboard.transfer.black_box.losses import Losses, loss_of
from matboard.transfer.black_box.proposer import Numbers, Proposer
from matboard.transfer.fitting import Fitting, Made
from matboard.transfer.optimisers import Schedule
from matboard.transfer.processes import Processes
from matboard.transfer.steps import DELTA, FitState, Step
from matboard.transfer.terms.candidate_contrast import CandidateContrast
from matboard.transfer.validation import Validation


class BlackBoxFit(Fitting):
    """A fit that tries prompts; see `Fitting`.

    Args:
        prompt: what is learned; nothing else changes.
        models: source models; more than one makes an ensemble.
        task: its training part is learned from.
        way: makes the proposer, of the numbers to start from, their bounds, the schedule and the
            seed; a class such as `Spsa` or `CmaEs`, or a `functools.partial` of one with options.
        schedule: how many steps, and how large.
        contrast: which candidates are compared, where models rank.
        batch_size: pictures of one step, each of which is shown with every prompt that is tried.
        micro_batch: pictures that a model gets at once; None: the batch.
        diversity: random flips and crops of the picture (not of the prompt).
        validation: holds out a part of the training samples, keeps the prompt that is best on
            them, and may end the fit before its last step; None learns from all of them.

    Raises:
        ConfigError: no model, or several processes.
        ModelError: a model lacks what learning or validation needs.
        TaskError: samples lack what validation needs, or it leaves none to learn from.
    """

    nothing = (
        "the source models answered about none of their pictures. Ask again later; what was"
        " answered is kept."
    )

    def __init__(
        self,
        prompt: PixelPrompt,
        models: Sequence[FrozenModel],
        task: Task,
        *,
        way: Callable[..., Proposer],
        schedule: Schedule,
        contrast: CandidateContrast | None = None,
        batch_size: int = 16,
        micro_batch: int | None = None,
        seed: int = 0,
        diversity: bool = True,
        validation: Validation | None = None,
        processes: Processes | None = None,
    ) -> None:
        processes = processes or Processes.here()
        if processes.count > 1:
            raise ConfigError(
                f"A fit without gradients was begun by {processes.count} processes that share each"
                " batch; only one can learn it. Start the study without torchrun; matboard work"
                " lets others help with other fits."
            )
        kind = loss_of(models, task)
        self._acting = prompt.acting
        self._tried = copy.deepcopy(prompt)
        values = prompt.delta.detach().clone()
        self._way = way(values[self._acting], prompt.bounds, schedule, seed)
        super().__init__(
            prompt,
            models,
            task,
            steps=schedule.steps,
            tried=self._way.proposals,
            batch_size=batch_size,
            seed=seed,
            diversity=diversity,
            validation=validation,
            processes=processes,
        )
        contrast = contrast or CandidateContrast(weight=1.0)
        at_once = micro_batch or batch_size
        self._losses = Losses(self.models, self.task, kind, contrast, at_once)
        self._start(self._way.memory())

    def _made(self, now: FitState) -> Made:
        """See `Fitting`."""
        values = now.tensors[DELTA]
        numbers = values[self._acting]
        proposals = self._way.propose(numbers, now.step, now.memory)
        prompts = [self._artifact(one) for one in proposals]
        losses = self._losses.of(prompts, self.batches.at(now.step))
        answered = losses.isfinite().all(dim=0)
        told = self._told(losses[:, answered], int((~answered).sum()), now.step)
        if not answered.any():
            return Made({}, told)
        means = losses[:, answered].mean(dim=1)
        update = self._way.learn(numbers, means, now.step, now.memory)
        return Made({DELTA: self._values(update.values), **update.memory}, told)

    def _artifact(self, numbers: Numbers) -> VisualPrompt:
        self._tried.delta.data = self._values(numbers)
        return self._tried.to_artifact()

    @torch.no_grad()
    def _values(self, numbers: Numbers) -> Tensor:
        """The learned values with these numbers among them."""
        values = self.prompt.delta.detach().clone()
        values[self._acting] = numbers
        return self.prompt.projected(values)

    def _told(self, losses: Tensor, unanswered: int, step: int) -> Step:
        mean = float(losses.mean())
        return Step(
            index=step + 1,
            loss=mean,
            losses={self._losses.kind: mean},
            lr=self._way.schedule.at(step),
            unanswered=unanswered,
        )
