"""The unit of an analysis: what pictures look like inside one model, shown in several ways."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from matboard.analysis.features import drift, embed, silhouette, spread
from matboard.analysis.gradient_maps import gradient_maps, inside
from matboard.errors import ModelError, UnknownName
from matboard.images import to_array
from matboard.metrics import of_mean
from matboard.models.capabilities import FrozenModel, HasFeatures, require
from matboard.prompts.canvas import Canvas
from matboard.results.analysis import FeatureFacts, GradientFacts, ModelAnalysis
from matboard.results.parts import Interval
from matboard.results.transfer import Precision
from matboard.runs import replace_atomically, write_atomically
from matboard.studies.engine import Unit
from matboard.studies.loading import Models
from matboard.studies.progress import Progress
from matboard.tasks.task import Sample
from matboard.transfer.conditions import Showing

BATCH = 8
"""Pictures that go through a model at once (guess: gradients take memory)."""
SIDE = 56
"""Of a drawn map, in cells: four pixels of the paper's canvas each (guess)."""
WHITE = 0.99
"""Quantile of a map from which on it is drawn white: its peaks are single pixels."""


@dataclass(frozen=True)
class Subject:
    """What every model is looked at with.

    Attributes:
        shown: in how many ways; the first is the untouched picture.
        graded: gradients are taken of so many pictures, the first ones.
        drawn: of these so many maps are kept.
        tap: where features are read.
    """

    samples: tuple[Sample, ...]
    shown: tuple[Showing, ...]
    graded: int
    drawn: int
    tap: str

    @property
    def canvas(self) -> Canvas:
        """Of the first learned prompt: the size at which untouched pictures are shown."""
        prompts = (showing.at()[0] for showing in self.shown)
        return next(prompt.canvas for prompt in prompts if prompt is not None)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Sorted names of the pictures' groups: their classes, or answers."""
        return tuple(sorted({_class(sample) for sample in self.samples}))

    @property
    def labels(self) -> tuple[int, ...]:
        """The class of each picture."""
        return tuple(self.classes.index(_class(sample)) for sample in self.samples)


class Inside(Unit):
    """What one model makes of the pictures, kept in a file.

    Args:
        folder: where files are kept.
        address: of all that decides them.
        name: of the model.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        name: str,
        precision: Precision,
        models: Models,
        subject: Subject,
    ) -> None:
        self.name = name
        self.address = address
        self._folder = folder
        self._precision = precision
        self._models = models
        self._subject = subject

    @property
    def found(self) -> ModelAnalysis | None:
        """What is kept, if anything; a file that cannot be read counts as none."""
        try:
            text = self._file.read_text(encoding="utf-8")
            found = ModelAnalysis.model_validate_json(text)
        except (OSError, ValidationError):
            return None
        root = self._folder.parent
        maps = [file for facts in found.gradients for file in facts.maps]
        return found if all((root / file).exists() for file in maps) else None

    @property
    def folders(self) -> Iterator[Path]:
        """See `Unit.folders`."""
        yield self._folder

    @property
    def finished(self) -> bool:
        """See `Unit.finished`."""
        return self.found is not None

    def work(self) -> Generator[Progress, None, None]:
        """Features under every condition, then gradients, then the file."""
        total = 2 * len(self._subject.shown) + 1
        stage = f"analyse {self.name}"
        yield Progress(stage, 0, total, "load")
        (model,) = self._models.judged([self.name], self._precision)
        seen = _Seen(model, self._subject)
        done = 0
        for showing in self._subject.shown:
            seen.read_features(showing)
            done += 1
            yield Progress(stage, done, total, f"features, {showing.name}")
        for place, showing in enumerate(self._subject.shown):
            seen.take_gradients(showing, self._writer(place))
            done += 1
            yield Progress(stage, done, total, f"gradients, {showing.name}")
        text = seen.results().model_dump_json()
        write_atomically(self._file, text.encode())
        yield Progress(stage, total, total)

    @property
    def _file(self) -> Path:
        return self._folder / f"{self.address}.json"

    def _writer(self, place: int) -> _Maps:
        return _Maps(self._folder, f"{self.address}-{place}")


@dataclass(frozen=True)
class _Maps:
    """Writes the maps of one condition."""

    folder: Path
    name: str

    def write(self, number: int, gradients: NDArray[np.float32]) -> str:
        """Keep a picture's map; its file, as seen from the run folder."""
        file = self.folder / f"{self.name}-{number}.png"
        picture = drawn_map(gradients)
        replace_atomically(file, lambda path: picture.save(path, format="PNG"))
        return f"{self.folder.name}/{file.name}"


class _Seen:
    """What has been measured of one model so far."""

    def __init__(self, model: FrozenModel, subject: Subject) -> None:
        self.model = model
        self.subject = subject
        self.features: dict[str, NDArray[np.float64]] = {}
        self.gradients: list[GradientFacts] = []
        self.notes: list[str] = []

    def read_features(self, showing: Showing) -> None:
        """The features of all pictures; a note where the model shows none."""
        if self.notes:
            return
        samples = self.subject.samples
        try:
            model = require(self.model, HasFeatures, doing="an analysis of features")
            parts = [
                self._read(model, showing, samples[start : start + BATCH])
                for start in range(0, len(samples), BATCH)
            ]
        except (ModelError, UnknownName) as error:
            self.notes.append(f"No features: {error}")
            return
        self.features[showing.name] = np.concatenate(parts)

    @torch.no_grad()
    def _read(
        self, model: HasFeatures, showing: Showing, samples: Sequence[Sample]
    ) -> NDArray[np.float64]:
        """Meaned over tokens, by the official route, as prompts are judged."""
        canvas = self.subject.canvas
        pictures = [picture_of(showing, sample, canvas) for sample in samples]
        questions = [sample.question for sample in samples]
        tokens = model.visual_features(pictures, self.subject.tap, questions)
        rows: NDArray[np.float64] = tokens.double().mean(dim=1).cpu().numpy()
        return rows

    def take_gradients(self, showing: Showing, maps: _Maps) -> None:
        """The share on the picture, and the first maps; a note where there is no gradient."""
        prompt = showing.at()[0]
        canvas = self.subject.canvas if prompt is None else prompt.canvas
        content = np.ones((canvas.size, canvas.size), dtype=bool)
        if prompt is not None and prompt.layout == "border":
            content = ~prompt.region
        try:
            found = self._gradients(showing)
        except ModelError as error:
            note = f"No gradients: {error}"
            if note not in self.notes:
                self.notes.append(note)
            return
        drawn = found[: self.subject.drawn]
        facts = GradientFacts(
            condition=showing.name,
            inside=Interval.of(of_mean(inside(found, content)).within(0, 1)),
            area=float(content.mean()),
            strength=float(found.mean()),
            maps=tuple(maps.write(*numbered) for numbered in enumerate(drawn)),
        )
        self.gradients.append(facts)

    def _gradients(self, showing: Showing) -> NDArray[np.float32]:
        parts = []
        samples = self.subject.samples[: self.subject.graded]
        weight = next(_parameters(self.model), torch.zeros(()))
        for start in range(0, len(samples), BATCH):
            some = samples[start : start + BATCH]
            pictures = [picture_of(showing, one, self.subject.canvas) for one in some]
            shown = torch.from_numpy(np.stack([to_array(one) for one in pictures]))
            parts.append(gradient_maps(self.model, shown.to(weight.device), some))
        return np.concatenate(parts)

    def results(self) -> ModelAnalysis:
        """All that was measured."""
        said = ModelAnalysis(
            model=self.model.name,
            tap=self.subject.tap,
            gradients=tuple(self.gradients),
            notes=tuple(self.notes),
        )
        if not self.features:
            return said
        together = list(self.features.values())
        clean = together[0]
        points = embed(np.concatenate(together)).reshape(len(together), -1, 2)
        labels = [str(label) for label in self.subject.labels]
        facts = []
        for name, own in zip(self.features, points, strict=True):
            rows = self.features[name]
            moved = None
            if rows is not clean:
                moved = Interval.of(of_mean(drift(clean, rows)))
            facts.append(
                FeatureFacts(
                    condition=name,
                    silhouette=silhouette(rows, labels),
                    drift=moved,
                    points=tuple((round(x, 3), round(y, 3)) for x, y in own.tolist()),
                )
            )
        more = {
            "features": tuple(facts),
            "dim": clean.shape[1],
            "spread": spread(clean),
        }
        return said.model_copy(update=more)


def picture_of(showing: Showing, sample: Sample, canvas: Canvas) -> Image.Image:
    """The picture under a condition; untouched it fills the canvas, so that all are of one size."""
    prompt = showing.at()[0]
    picture = sample.load()
    return canvas.full(picture) if prompt is None else prompt.apply(picture)


def drawn_map(gradients: NDArray[np.float32]) -> Image.Image:
    """A map as a grey picture of `SIDE` cells a side, linear, white from a quantile on."""
    whole = Image.fromarray(gradients.astype(np.float32))
    cells = np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BOX))
    top = float(np.quantile(cells, WHITE)) or 1.0
    return Image.fromarray((255 * np.clip(cells / top, 0, 1)).round().astype(np.uint8))


def _class(sample: Sample) -> str:
    return sample.group or sample.answer


def _parameters(model: FrozenModel) -> Iterator[Any]:
    return iter(()) if model.model is None else iter(model.model.parameters())
