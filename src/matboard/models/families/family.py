"""What matboard must know about a family of vision-language models, beyond what its configuration
says.

The prompt's tokens are its official processor's own, wherever that loads; the text written here is
for where it does not, and is compared with it in the tests. The adapter counts the visual tokens
that a picture really yields, so no family needs a formula for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from matboard.models.processors.differentiable import Layout
from matboard.models.vlm.fusion import Fusion, Placed


@dataclass(frozen=True)
class Picture:
    """How one encoded picture shall appear in a prompt.

    Attributes:
        tokens: visual tokens, tiles included.
        rows, columns: the grid of tiles in front of the whole picture; 0 where there is none.
        lines: in how many equal lines the tokens stand, for families that end each line.
    """

    tokens: int
    rows: int = 0
    columns: int = 0
    lines: int = 1


Arrange = Callable[[Any, Mapping[str, Tensor], Sequence[int]], list[Picture]]
"""(the model, the prepared pictures, visual tokens of each) → how each shall appear."""


def in_tiles(
    model: Any, inputs: Mapping[str, Tensor], counts: Sequence[int]
) -> list[Picture]:
    """Pictures whose processor says in ``rows`` and ``cols`` how it cut them, if it did."""
    none = [0] * len(counts)
    rows = inputs["rows"].flatten().tolist() if "rows" in inputs else none
    columns = inputs["cols"].flatten().tolist() if "cols" in inputs else none
    return [Picture(*facts) for facts in zip(counts, rows, columns, strict=True)]


def told_pieces(inputs: Mapping[str, Tensor]) -> list[int] | None:
    """Tiles or patches of each picture, where the image processor says so."""
    for name in ("num_patches", "num_tiles"):
        if name in inputs:
            return [int(count) for count in inputs[name].flatten()]
    if "image_grid_thw" in inputs:
        return [int(count) for count in inputs["image_grid_thw"].prod(-1)]
    if "rows" in inputs and "cols" in inputs:
        grids = inputs["rows"].flatten() * inputs["cols"].flatten()
        return [int(tiles) + 1 for tiles in grids]
    return None


def no_settings(model: Any) -> dict[str, Any]:
    """Nothing is forced upon the image processor."""
    return {}


@dataclass(frozen=True)
class Family:
    """Facts about one family.

    A prompt is written as a template with ``{question}`` and, where the picture shall not simply
    come first, ``{image}``; ``{bos}`` and ``{eos}`` stand for the tokenizer's own.

    Attributes:
        models: names of transformers' model classes; a model belongs to the family where it is one
            of these or derived from it.
        where: what a model must fulfil besides, where families share a class.
        template: the prompt where neither the caller nor a chat template brings one.
        written: whether the text around a picture is known here; else only the family's own
            processor can say how it is asked.
        official: what the family's own processor is given in place of that template, where it
            writes some of it itself.
        image: what ``{image}`` becomes; ``{token}`` is the model's image token.
        placeholder: the part of a prompt that the visual tokens replace.
        picture: what it is replaced by; ``{tokens}`` are the image tokens, ``{token}`` is a single
            one. Nothing where a prompt has no place for a picture.
        tile: the same for one tile of a grid (one-based ``{row}`` and ``{column}``), in front of
            ``picture``.
        row_end: ends a row of tiles; once more it ends the grid.
        line_end: stands between two lines of visual tokens.
        apart: whether a space comes between the picture and a word that follows it at once.
        before_bos: a picture that the prompt does not place stands before the first text token, BOS
            included.
        special_tokens: whether the tokenizer adds its own BOS and EOS.
        token_types: which tokens the model's ``token_type_ids`` mark.
        first_position: the position of a prompt's first token.
        pieces: into how many tiles or patches each picture was cut; None where nobody says.
        arrange: how pictures appear, from what the image processor says of them.
        end_to_end: whether the eye lays all its pictures end to end, so that its tokens divide
            among them as the language model's do.
        settings: of the image processor, forced upon it by the family's processor class.
        layouts: what the family's own image processors make of a picture; the name is transformers'
            without ``ImageProcessor``.
        fusion: how eye and language model are fused.
    """

    models: tuple[str, ...] = ()
    where: Callable[[Any], bool] | None = None
    template: str = "{image}\n{question}"
    written: bool = True
    official: str | None = None
    image: str = "{token}"
    placeholder: str = "{token}"
    picture: str = "{tokens}"
    tile: str = ""
    row_end: str = ""
    line_end: str = ""
    apart: bool = False
    before_bos: bool = False
    special_tokens: bool = True
    token_types: Literal["none", "picture", "answer"] = "none"
    first_position: int = 0
    pieces: Callable[[Mapping[str, Tensor]], list[int] | None] = told_pieces
    arrange: Arrange = in_tiles
    end_to_end: bool = False
    settings: Callable[[Any], Mapping[str, Any]] = no_settings
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    fusion: Callable[[Any], Fusion] = Placed

    def matches(self, model: Any) -> bool:
        """Whether a model belongs to this family."""
        kinds = {kind.__name__ for kind in type(model).__mro__}
        if kinds.isdisjoint(self.models):
            return False
        return self.where is None or self.where(model)

    def expand(self, picture: Picture, token: str) -> str:
        """The text of one picture, with as many image tokens as it has visual tokens."""
        pieces = picture.rows * picture.columns + 1
        each = picture.tokens // pieces
        line = token * (each // picture.lines)
        tokens = self.line_end.join([line] * picture.lines)
        text = ""
        for row in range(1, picture.rows + 1):
            for column in range(1, picture.columns + 1):
                text += self.tile.format(row=row, column=column, tokens=tokens)
            text += self.row_end
        if text:
            text += self.row_end
        return text + self.picture.format(tokens=tokens, token=token)
