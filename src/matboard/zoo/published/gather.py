"""The parameters of a model out of several published files, every tensor accounted for."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from matboard.errors import ModelError
from matboard.zoo.published import files
from matboard.zoo.published.names import (
    BARE_EYE,
    Part,
    Shape,
    Wanted,
    fused,
    is_left_out,
    wanted,
)

_BEHIND_EYE = ("Qformer.", "qformer.", "query_tokens", "ln_vision.")
_MOST_GUESSED = 50
"""Unknown names for which a missing one is looked for: comparing all with all takes its time."""


@dataclass(frozen=True)
class Source:
    """A file or folder, and what is taken from it.

    Attributes:
        option: how the user names it.
        place: file, folder or Hub id.
        parts: of the model, that it is taken for; of a project's own file, all.
    """

    option: str
    place: str
    parts: tuple[Part, ...]

    @property
    def is_own(self) -> bool:
        """Whether it is the project's own file."""
        return "projection" in self.parts


@dataclass(frozen=True)
class Model:
    """What shall be filled.

    Attributes:
        title: as its authors call it.
        parameters: name in transformers → shape, the language model's apart.
        projection: what its files call ``language_projection``.
        blocks: of the eye.
        reads_text: whether its Q-Former reads the question.
    """

    title: str
    parameters: Mapping[str, Shape]
    projection: str
    blocks: int
    reads_text: bool


@dataclass
class _Found:
    """What came so far: parameter → name in the file → tensor, and what is wrong."""

    pieces: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    strange: dict[str, Shape] = field(default_factory=dict)


def gather(model: Model, sources: Sequence[Source]) -> dict[str, Tensor]:
    """The model's parameters; what a later source holds replaces what an earlier one held.

    Raises:
        ModelError: a source cannot be read; or tensors are missing, misnamed, of another shape, or
            none of the model's. Every one is named.
    """
    found = _Found()
    for source in sources:
        _take(model, source, found)
    missing = _missing(model, sources, found.pieces)
    account_for(model.title, found.wrong, missing, found.strange)
    return fused(found.pieces)


def account_for(
    title: str,
    wrong: Sequence[str],
    missing: Mapping[str, dict[str, Shape]],
    strange: dict[str, Shape],
) -> None:
    """Say what is not as expected.

    Args:
        wrong: sentences about tensors of another shape.
        missing: option that should bring them → names and shapes.
        strange: names with their files that are not known → shapes.

    Raises:
        ModelError: there is anything.
    """
    lines = [*wrong, *_misnamed(missing, strange)]
    if strange:
        lines.append("not known: " + "; ".join(_joined(strange)))
    for option, names in missing.items():
        if names:
            lines.append(f"missing in {option}: " + "; ".join(_joined(names)))
    if lines:
        raise ModelError(
            f"These files do not make {title}. Each tensor is named with its shape:\n  "
            + "\n  ".join(lines)
            + "\nNothing was written. Give the files that its authors publish for this size."
        )


def _take(model: Model, source: Source, found: _Found) -> None:
    """Add what one source holds."""
    held = _with_prefix(files.read(source.place, _is_no_language), source)
    lavis = not any(name.startswith(("vision_model.", "qformer.")) for name in held)
    known = {
        want.name: want
        for want in wanted(model.parameters, model.projection, lavis=lavis)
    }
    for name, tensor in held.items():
        want = known.get(name)
        if want is not None:
            if want.part in source.parts:
                _add(want, tensor, source, found)
        elif not (
            source.parts == ("eye",) and name.startswith(_BEHIND_EYE)
        ) and not is_left_out(name, source.is_own, model.blocks, model.reads_text):
            found.strange[f"{name} of {source.place}"] = tuple(tensor.shape)


def _is_no_language(name: str) -> bool:
    """Not of a BLIP-2's own language model, which may be many times as large as all else."""
    return not name.startswith(("language_model.", "t5_model.", "opt_model."))


def _with_prefix(held: dict[str, Tensor], source: Source) -> dict[str, Tensor]:
    """An eye's own file says ``blocks.0`` where a model's says ``visual_encoder.blocks.0``."""
    alone = source.parts == ("eye",) and "pos_embed" in held
    return {f"{BARE_EYE}{n}": t for n, t in held.items()} if alone else held


def _add(want: Wanted, tensor: Tensor, source: Source, found: _Found) -> None:
    if tuple(tensor.shape) != want.shape:
        found.wrong.append(
            f"{want.name} of {source.place} has shape {tuple(tensor.shape)}, expected {want.shape}"
        )
    held = found.pieces.setdefault(want.ours, {})
    whole = want.name == want.ours or not want.ours.endswith("qkv.bias")
    if whole or want.ours in held:
        held.clear()
    held[want.name] = tensor


def _missing(
    model: Model,
    sources: Sequence[Source],
    pieces: Mapping[str, Mapping[str, Tensor]],
) -> dict[str, dict[str, Shape]]:
    """Option that should bring them → names and shapes."""
    missing: dict[str, dict[str, Shape]] = defaultdict(dict)
    for want in wanted(model.parameters, model.projection):
        held = pieces.get(want.ours, {})
        if want.name in held or want.ours in held:
            continue
        if held and not want.ours.endswith("qkv.bias"):
            continue
        missing[_brings(want.part, sources)][want.name] = want.shape
    return missing


def _brings(part: Part, sources: Sequence[Source]) -> str:
    """The option that should bring a part."""
    able = [source for source in sources if part in source.parts]
    special = [source for source in able if not source.is_own]
    if special:
        return special[0].option
    return {"eye": "--eye", "qformer": "--blip2", "projection": "--checkpoint"}[part]


def _misnamed(
    missing: Mapping[str, dict[str, Shape]], strange: dict[str, Shape]
) -> list[str]:
    """Take unknown names that are nearly a missing one of the same shape out of both."""
    lines = []
    for label, shape in list(strange.items())[:_MOST_GUESSED]:
        name, _, place = label.partition(" of ")
        for names in missing.values():
            alike = [wanted for wanted, own in names.items() if own == shape]
            near = difflib.get_close_matches(name, alike, n=1, cutoff=0.8)
            if near:
                lines.append(
                    f"{name} of {place} is expected to be called {near[0]}, {shape}"
                )
                del strange[label], names[near[0]]
                break
    return lines


def _joined(names: Mapping[str, Shape]) -> list[str]:
    """Names with their shapes; those that differ in the number of a block only as one."""
    groups: dict[tuple[str, Shape], list[int]] = defaultdict(list)
    for name, shape in names.items():
        number = re.search(r"\.(\d+)\.", name)
        pattern = name
        if number:
            pattern = f"{name[: number.start(1)]}{{}}{name[number.end(1) :]}"
        groups[pattern, shape].append(int(number[1]) if number else -1)
    return [
        f"{pattern.replace('{}', _ranges(numbers))} {shape}"
        for (pattern, shape), numbers in groups.items()
    ]


def _ranges(numbers: Sequence[int]) -> str:
    """``0,3,4,5`` as ``[0,3-5]``; a single number as it is."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    said = [str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts]
    return said[0] if len(numbers) == 1 else f"[{','.join(said)}]"
