"""Ways of learning a pixel prompt, as data: VP, EVP and TVP as published, ours, and two that need
no gradients.

All share one geometry here, a border around the shrunk picture, so that what differs is how
a prompt is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from matboard.errors import UnknownName

if TYPE_CHECKING:
    from matboard.transfer.objective import Objective
    from matboard.transfer.optimisers import Optimiser, Schedule
    from matboard.transfer.pictures import PerPicture
    from matboard.transfer.validation import Validation


@dataclass(frozen=True, kw_only=True)
class Method:
    """How a prompt is learned, and what for.

    Attributes:
        optimiser: a name of `optimisers.OPTIMISERS`, or, to learn without gradients, one of
            `black_box.BLACK_BOXES`.
        lr: the schedule's peak; see `optimisers.Schedule`.
        warmup: steps of warm-up.
        diversity: random flips and crops of the picture (not of the prompt).
        norm_scope: over which pixels the gradient's norm is taken, where it is normalised.
        per_picture: what becomes of each picture's gradient before they are summed; see
            `pictures.PictureRule`.
        objective: term → options; see `terms.objective`.
        steps, epochs, queries: how long it learns, at most where there is validation; one of them.
            Queries are pictures shown to source models; see `queries.Queries`.
        validation: options of `validation.Validation`; None: it learns from every training sample
            and makes all its steps.
        black_box: options of the way without gradients; None where it follows gradients.
    """

    optimiser: str
    lr: float
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    diversity: bool
    norm_scope: Literal["full", "prompt"] | None = None
    per_picture: PerPicture = "sum"
    objective: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    steps: int | None = None
    epochs: float | None = None
    queries: int | None = None
    validation: Mapping[str, Any] | None = None
    black_box: Mapping[str, Any] | None = None

    def build_schedule(self, steps: int) -> Schedule:
        """Of a run of ``steps`` steps. Raises ConfigError for a wrong setting."""
        from matboard.transfer.optimisers import Schedule

        return Schedule(self.lr, steps, self.schedule, self.warmup)

    def build_objective(self) -> Objective:
        """The terms that it weighs."""
        from matboard.transfer.terms import objective

        return objective(self.objective)

    def build_validation(self) -> Validation | None:
        """How a fit is validated; None where it is not."""
        from matboard.transfer.validation import Validation

        return None if self.validation is None else Validation(**self.validation)

    def steps_over(
        self, samples: int, batch_size: int, steps: int | None = None
    ) -> int:
        """How many steps are made over so many training samples: ``steps``, or where None as the
        method says.
        """
        from matboard.transfer.validation import steps_of

        if steps is not None:
            return steps
        return steps_of(self.steps, self.epochs, samples, batch_size)

    def build_optimiser(self, steps: int) -> Optimiser:
        """The optimiser of a run of ``steps`` steps. Raises ConfigError for a wrong setting."""
        from matboard.transfer.optimisers import build_optimiser

        options: dict[str, Any] = {"per_picture": self.per_picture}
        if self.norm_scope is not None:
            options["norm_scope"] = self.norm_scope
        return build_optimiser(self.optimiser, self.build_schedule(steps), **options)


CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "task_loss": {"weight": 0.0},
    "candidate_contrast": {"weight": 1.0},
}
"""What a way without gradients learns for: the right candidate against the others; see
`black_box.losses`.
"""

METHODS: dict[str, Method] = {
    # Bahng et al. (arXiv 2203.17274): SGD, lr 40, momentum 0.9, cosine per step, 1,000 epochs;
    # their warm-up is 1,000 of about 200,000 steps, here none.
    "vp": Method(
        optimiser="gradient_descent",
        lr=40.0,
        schedule="cosine",
        diversity=False,
        epochs=1000,
    ),
    # Wu et al. (arXiv 2212.10556), 1,000 epochs; lr 10, constant within an epoch, as the TVP
    # authors run it; the norm over the whole canvas is their code's, the paper does not say.
    "evp": Method(
        optimiser="normalised_gradient",
        lr=10.0,
        schedule="constant",
        diversity=True,
        norm_scope="full",
        epochs=1000,
    ),
    # Zhang et al. (arXiv 2404.11207): EVP and two terms more; 0.005 and 0.001 are the authors' for
    # MiniGPT-4 on CIFAR-10, with their code's forms of the terms; so are the 3,125 steps, one epoch
    # over CIFAR-10 at batch 16 (their README).
    "tvp": Method(
        optimiser="normalised_gradient",
        lr=10.0,
        schedule="constant",
        diversity=True,
        norm_scope="full",
        objective={
            "feature_consistency": {"weight": 0.005},
            "semantic_enrichment": {"weight": 0.001},
        },
        steps=3125,
    ),
    # Ours: what is judged is what is learned; no picture counts for more than the median one; large
    # normalised steps. All three carry over to other models (docs/log.md). It makes all its steps:
    # patience would end some fits before their rate has fallen.
    "matboard": Method(
        optimiser="normalised_gradient",
        lr=30.0,
        schedule="cosine",
        diversity=True,
        norm_scope="prompt",
        per_picture="clip",
        objective={
            "task_loss": {"weight": 0.1},
            "candidate_contrast": {"weight": 1.0},
        },
        steps=600,
        validation={"patience": None},
    ),
    # Oh et al. (arXiv 2303.14773), their baseline "VP with SPSA-GC": two-sided estimates and
    # Nesterov's momentum; see `black_box.spsa` for what is theirs. Rate, radius and number of
    # queries are guesses between what was tried (docs/log.md).
    "spsa": Method(
        optimiser="spsa",
        lr=0.2,
        diversity=True,
        objective=CANDIDATES,
        queries=20000,
        validation={"every": 20},
        black_box={"radius": 0.1},
    ),
    # Hansen & Ostermeier (2001); lr is the standard deviation that it starts with (tried, see
    # docs/log.md).
    "cma": Method(
        optimiser="cma",
        lr=0.2,
        diversity=True,
        objective=CANDIDATES,
        queries=20000,
        validation={"every": 10},
        black_box={},
    ),
}


def by_name(name: str) -> Method:
    """A method of ``METHODS``. Raises UnknownName."""
    if name not in METHODS:
        raise UnknownName("method", name, METHODS)
    return METHODS[name]
