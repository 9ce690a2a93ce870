"""The page's panel on what prompts do inside the models: features and gradients."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matboard.errors import ImageError
from matboard.images import decode
from matboard.report.figures import (
    Drawing,
    colour_of,
    new_axes,
    style,
    to_svg,
    variable,
)
from matboard.report.html import data_uri
from matboard.report.plain_table import PlainTable, Said, as_rich
from matboard.report.run_folder import RunFolder
from matboard.report.words import fixed, percent
from matboard.results.analysis import (
    AnalysisResults,
    FeatureFacts,
    GradientFacts,
    ModelAnalysis,
    View,
)
from matboard.results.parts import Interval

if TYPE_CHECKING:
    from rich.console import Group

MARKERS = "osD^vP"
SIDE = 240
"""Of a panel, in CSS pixels."""
HEAT = "magma"
"""matplotlib's colours of a map, dark to bright."""
NUMBERS = ("silhouette", "drift", "÷ distance", "gradient inside", "area")
NOTE = (
    "Silhouette: of the classes among the features, 1 where they stand apart, 0 where they lie upon"
    " each other. Drift: ‖f(X) − f(X_p)‖ to the untouched picture, then the same over the mean"
    " distance of two untouched pictures. Gradient inside: the share of |∂ log p(answer) / ∂ pixel|"
    " that lies on the picture and not on its border; were it even, it would be the picture’s area."
    " 95 % intervals over pictures."
)


@dataclass(frozen=True)
class Embedding:
    """One model's features, drawn: a panel a condition."""

    model: str
    drawings: list[Drawing]


@dataclass(frozen=True)
class MapRow:
    """A picture under one condition, and each model's map of it; None where there is none."""

    label: str
    picture: str | None
    maps: tuple[str | None, ...]


@dataclass(frozen=True)
class MapGrid:
    """One picture's maps."""

    question: str
    answer: str
    rows: tuple[MapRow, ...]


def inside_view(run: RunFolder) -> dict[str, Any]:
    """What the template shows; ``analysis`` is None where nobody looked."""
    found = run.analysis
    if found is None:
        return {"analysis": None}
    return {
        "analysis": found,
        "inside_tables": analysis_tables(found),
        "embeddings": [embedding(found, model) for model in _featured(found)],
        "map_models": [model.model for model in _graded(found)],
        "map_grids": list(_map_grids(run, found)),
        "inside_notes": [
            *found.notes,
            *(
                f"{model.model}: {note}"
                for model in found.models
                for note in model.notes
            ),
        ],
    }


def analysis_text(found: AnalysisResults) -> Group:
    """The numbers for a terminal."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [as_rich(table) for table in analysis_tables(found)]
    for model in found.models:
        parts += [Text(f"{model.model}: {note}") for note in model.notes]
    parts.append(Text(NOTE, style="dim italic"))
    return Group(*parts)


def analysis_tables(found: AnalysisResults) -> list[PlainTable]:
    """A model a table, a condition a row."""
    return [_table(found, model) for model in found.models]


def _table(found: AnalysisResults, model: ModelAnalysis) -> PlainTable:
    features = {facts.condition: facts for facts in model.features}
    gradients = {facts.condition: facts for facts in model.gradients}
    rows = []
    for view in found.views:
        own = features.get(view.name)
        graded = gradients.get(view.name)
        if own is not None or graded is not None:
            cells = (*_feature_cells(own, model.spread), *_gradient_cells(graded))
            rows.append((_label(view), cells))
    where = f"features at {model.tap}" if model.features else "no features"
    title = f"{model.model}, {where}, {len(found.labels)} pictures of {found.task}"
    return PlainTable(title, ("condition", *NUMBERS), tuple(rows))


def _feature_cells(facts: FeatureFacts | None, spread: float | None) -> list[Said]:
    if facts is None:
        return [Said("–")] * 3
    drift = facts.drift
    if drift is None or drift.value is None:
        return [Said(fixed(facts.silhouette)), Said(), Said()]
    times = f"{drift.value / spread:.2f}" if spread else "–"
    return [Said(fixed(facts.silhouette)), _interval(drift, ".3g"), Said(times)]


def _gradient_cells(facts: GradientFacts | None) -> list[Said]:
    if facts is None:
        return [Said("–")] * 2
    if facts.area == 1:
        return [Said(), Said()]
    return [_interval(facts.inside, ".2f"), Said(percent(facts.area))]


def _interval(value: Interval, form: str) -> Said:
    if value.value is None:
        return Said("–")
    if value.low is None or value.high is None:
        return Said(format(value.value, form))
    ends = f"[{format(value.low, form)}, {format(value.high, form)}]"
    return Said(format(value.value, form), ends)


def _label(view: View) -> str:
    return view.label if view.seed is None else f"{view.label}, seed {view.seed}"


# -- features --------------------------------------------------------------------------------------


def _featured(found: AnalysisResults) -> list[ModelAnalysis]:
    return [model for model in found.models if model.features]


def embedding(found: AnalysisResults, model: ModelAnalysis) -> Embedding:
    """Panels that share axes: the untouched pictures lie in grey behind every other condition."""
    clean = model.features[0]
    drawings = []
    for facts in model.features:
        behind = () if facts is clean else clean.points
        view = found.view(facts.condition)
        said = [f"silhouette {fixed(facts.silhouette, 2)}"]
        if facts.drift is not None and facts.drift.value is not None and model.spread:
            said.append(f"drift {facts.drift.value / model.spread:.2f}")
        title = f"{_label(view)}: {', '.join(said)}"
        drawings.append(_panel(found, model.model, facts, behind, title))
    return Embedding(model.model, drawings)


def _panel(
    found: AnalysisResults,
    model: str,
    facts: FeatureFacts,
    behind: Sequence[tuple[float, float]],
    title: str,
) -> Drawing:
    with style(f"inside {model} {facts.condition}"):
        axes = new_axes(SIDE, SIDE, left=10, bottom=10)
        if behind:
            xs, ys = zip(*behind, strict=True)
            grey = variable("line")
            axes.plot(xs, ys, "o", color=grey, markersize=3.5, markeredgewidth=0)
        for place in range(len(found.classes)):
            pairs = zip(facts.points, found.labels, strict=True)
            own = [point for point, label in pairs if label == place]
            if own:
                xs, ys = zip(*own, strict=True)
                axes.plot(
                    xs,
                    ys,
                    MARKERS[place // 6 % len(MARKERS)],
                    color=colour_of(place),
                    markersize=3.5,
                    markeredgewidth=0,
                )
        axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), xticks=[], yticks=[])
        axes.spines["bottom"].set_visible(False)
        words = f"t-SNE of {model}’s features, {title}; a colour a class"
        return Drawing(title, to_svg(axes, words))


# -- gradients -------------------------------------------------------------------------------------


def _graded(found: AnalysisResults) -> list[ModelAnalysis]:
    return [model for model in found.models if any(one.maps for one in model.gradients)]


def _map_grids(run: RunFolder, found: AnalysisResults) -> Iterator[MapGrid]:
    for number, picture in enumerate(found.pictures):
        rows = []
        for place, view in enumerate(found.views):
            maps = []
            for model in _graded(found):
                maps.append(_heat(run, model, view.name, number))
            shown = data_uri(run.file(picture.shown[place]))
            rows.append(MapRow(_label(view), shown, tuple(maps)))
        yield MapGrid(picture.question, picture.answer, tuple(rows))


def _heat(
    run: RunFolder, model: ModelAnalysis, condition: str, number: int
) -> str | None:
    """A map in colours, as a data URI."""
    facts = next((one for one in model.gradients if one.condition == condition), None)
    if facts is None or number >= len(facts.maps):
        return None
    file = run.file(facts.maps[number])
    try:
        grey = None if file is None else decode(file)
    except ImageError:
        return None
    return None if grey is None else _coloured(grey)


def _coloured(grey: Any) -> str:
    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    levels = np.asarray(grey.convert("L"), dtype=float) / 255
    colours = (255 * colormaps[HEAT](levels)[..., :3]).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
