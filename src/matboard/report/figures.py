"""Figures as inline SVG whose colours are the page's CSS variables, so that one figure serves
light, dark and paper.
"""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 360  # CSS pixels of one panel: fits a phone, three fit a desktop
TOP = 8
RIGHT = 10
"""Margins in CSS pixels."""
METHOD_COLOURS = ("m0", "m1", "m2", "m3", "m4", "m5")
VARIABLES = ("ink", "muted", "line", "surface", *METHOD_COLOURS)


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG text, with its title and, where it needs one, its legend: label → colour."""

    title: str
    svg: str
    legend: dict[str, int] = field(default_factory=dict)


def colour_of(colour: int) -> str:
    """A method's colour; they repeat after six."""
    return variable(METHOD_COLOURS[colour % len(METHOD_COLOURS)])


def variable(name: str) -> str:
    """The colour to draw with that becomes ``var(--name)`` in the page."""
    return f"#01fe{VARIABLES.index(name):02x}"


def style(salt: str) -> Any:
    """The context to draw in; ``salt`` keeps the ids of figures on one page apart."""
    import matplotlib

    colours = {
        "text.color": "ink",
        "axes.edgecolor": "muted",
        "axes.labelcolor": "muted",
        "xtick.color": "muted",
        "ytick.color": "muted",
    }
    settings: dict[Any, Any] = {}
    for key, name in colours.items():
        settings[key] = variable(name)
    for side in ("top", "right", "left"):
        settings[f"axes.spines.{side}"] = False
    settings |= {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.size": 11,
        "axes.axisbelow": True,
        "text.parse_math": False,
    }
    settings |= {"ytick.major.size": 0, "ytick.minor.size": 0}
    return matplotlib.rc_context(settings)


def new_axes(width: float, height: float, left: float, bottom: float) -> Axes:
    """Axes with fixed margins, all in CSS pixels (an SVG unit is 1/72 inch)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72))
    across = width - left - RIGHT
    upright = height - bottom - TOP
    place = (left / width, bottom / height, across / width, upright / height)
    axes = figure.add_axes(place)
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    return axes


def to_svg(axes: Axes, words: str) -> str:
    """The figure's ``<svg>`` element: colours as CSS variables, no fixed size, words for those who
    cannot see it.
    """
    buffer = io.StringIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(
        r"#01fe([0-9a-f]{2})",
        lambda found: f"var(--{VARIABLES[int(found[1], 16)]})",
        svg,
    )
    return svg.replace(
        "<svg", f'<svg role="img" aria-label="{html.escape(words, quote=True)}"', 1
    )
