"""``analysis.json``: what a study's prompts do inside the models, features and gradients."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from matboard.results.parts import Interval, Number, Part
from matboard.results.transfer import Baseline


class View(Part):
    """A way of showing the pictures, as in the study's table.

    Attributes:
        name: of the condition.
        label: what people read.
        baseline: which one it is; None for a learned prompt.
        seed: of the prompt that is shown, the condition's first.
    """

    name: str
    label: str
    baseline: Baseline | None = None
    seed: int | None = None


class FeatureFacts(Part):
    """A model's features of all pictures under one condition.

    Attributes:
        silhouette: of the classes, in [−1, 1]; None where there is none.
        drift: ‖f(X) − f(X_p)‖ to the untouched pictures, mean over pictures; None of these.
        points: where t-SNE puts each picture, in [−1, 1]; all conditions of a model together.
    """

    condition: str
    silhouette: Number = None
    drift: Interval | None = None
    points: tuple[tuple[float, float], ...] = ()


class GradientFacts(Part):
    """A model's gradients |∂ log p(answer) / ∂ pixel| under one condition.

    Attributes:
        inside: share that lies on the picture itself and not on its border, mean over pictures.
        area: share of the canvas that the picture takes: what even gradients would give.
        strength: mean over pixels, in nats over the whole range of a pixel.
        maps: files of the drawn pictures' maps, grey, white from the 99th percentile on.
    """

    condition: str
    inside: Interval
    area: float
    strength: Number = None
    maps: tuple[str, ...] = ()


class ModelAnalysis(Part):
    """What was measured inside one model.

    Attributes:
        tap: where its features were read.
        dim: numbers in a picture's features.
        spread: mean distance of two untouched pictures' features, the drift's yardstick.
        notes: what could not be measured, and why.
    """

    model: str
    tap: str
    dim: int = 0
    spread: Number = None
    features: tuple[FeatureFacts, ...] = ()
    gradients: tuple[GradientFacts, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def conditions(self) -> list[str]:
        """Under which anything was measured."""
        featured = [facts.condition for facts in self.features]
        return featured + [facts.condition for facts in self.gradients]


class DrawnPicture(Part):
    """A test picture whose gradient maps are drawn.

    Attributes:
        shown: files of the picture under each condition, in the views' order.
    """

    question: str
    answer: str
    shown: tuple[str, ...]


class AnalysisResults(Part):
    """``analysis.json`` in the folder of a study of pixel prompts.

    Attributes:
        labels: the class of each picture, as its place in ``classes``.
        graded: how many of the pictures gradients were taken of.
        made_from: content address of all that decides it.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    kind: Literal["analysis"] = "analysis"
    task: str
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    graded: int
    views: tuple[View, ...]
    pictures: tuple[DrawnPicture, ...] = ()
    models: tuple[ModelAnalysis, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: Number = None
    made_from: str = ""

    @model_validator(mode="after")
    def _names_fit(self) -> AnalysisResults:
        known = {view.name for view in self.views}
        for model in self.models:
            for condition in model.conditions:
                if condition not in known:
                    raise ValueError(
                        f"{model.model} was shown {condition!r}, which is none of the views"
                    )
            if any(len(one.points) != len(self.labels) for one in model.features):
                raise ValueError(
                    f"{model.model} has not as many points as there are pictures"
                )
        return self

    def view(self, name: str) -> View:
        """The view of that name."""
        return next(view for view in self.views if view.name == name)
