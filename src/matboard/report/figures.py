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
VARIABLES = ("ink", "muted", "line", "surface", "better", "worse", *METHOD_COLOURS)
LIGHT = {
    "page": "#faf9f6",
    "surface": "#ffffff",
    "ink": "#1d1d1f",
    "muted": "#63636b",
    "line": "#e2e0da",
    "better": "#3d8fd1",
    "worse": "#e58a2b",
    "m0": "#0f766e",
    "m1": "#b5417a",
    "m2": "#4338a8",
    "m3": "#7a6a12",
    "m4": "#5f6b7a",
    "m5": "#8a3b12",
}
"""The colours of style.css on paper, for figures outside of a page; a test compares them."""
HEADROOM = 40
"""Above a figure outside of a page, for its title and legend."""
LETTER = 6.4
"""Width of a letter of 12 pixels, about."""


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


def standalone(drawing: Drawing) -> str:
    """A figure as a file of its own: light colours on paper, its title and legend above it."""
    _, _, width, height = _view_box(drawing.svg)
    above = [_text(0, -HEADROOM + 14, drawing.title, "ink", weight="600")]
    x = 0.0
    for label, colour in drawing.legend.items():
        name = METHOD_COLOURS[colour % len(METHOD_COLOURS)]
        above.append(f'<circle cx="{x + 4:g}" cy="-10" r="4" fill="var(--{name})"/>')
        above.append(_text(x + 12, -6, label, "ink"))
        x += 26 + LETTER * len(label)
    box = f'viewBox="0 {-HEADROOM} {max(width, x):g} {height + HEADROOM:g}"'
    svg = re.sub(r'viewBox="[^"]*"', box, drawing.svg, count=1)
    start = svg.index(">") + 1
    svg = svg[:start] + "".join(above) + svg[start:]
    paper = f'style="background: {LIGHT["page"]}; font-family: sans-serif"'
    svg = svg.replace("<svg", f'<svg {paper} width="{max(width, x):g}"', 1)
    return re.sub(r"var\(--(\w+)\)", lambda found: LIGHT[found[1]], svg) + "\n"


def _view_box(svg: str) -> tuple[float, float, float, float]:
    found = re.search(r'viewBox="([^"]*)"', svg)
    assert found is not None
    left, top, width, height = map(float, found[1].split())
    return left, top, width, height


def _text(x: float, y: float, words: str, colour: str, weight: str = "400") -> str:
    style_of = f'font-size="12" font-weight="{weight}" fill="var(--{colour})"'
    return f'<text x="{x:g}" y="{y:g}" {style_of}>{html.escape(words)}</text>'
