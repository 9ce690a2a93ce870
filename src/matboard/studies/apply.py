"""From pictures to prompted PNG files: nothing lost, nothing half written, and a sentence for
whatever was skipped. No torch.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from matboard.disk import publish
from matboard.errors import ImageError, InputError
from matboard.images import decode, find_pictures
from matboard.prompts.artifact import VisualPrompt


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        targets: picture → PNG file to write, one to one.
        skipped: a sentence for every input that names no picture, and for every picture whose
            result would replace an input.
    """

    targets: dict[Path, Path] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def plan(inputs: Iterable[Path], out: Path) -> Plan:
    """Where each picture of ``inputs`` (files and folders) goes below ``out``: a folder keeps its
    structure, each file counts once.

    ``a.jpg`` becomes ``a.png``; beside another ``a.*`` it becomes ``a.jpg.png``. Earlier results,
    where ``out`` lies inside an input folder, are no input.
    """
    made = Plan()
    found: dict[Path, tuple[Path, Path]] = {}
    for path in inputs:
        try:
            files = [file for file in find_pictures([path]) if not _is_result(file, path, out)]
        except ImageError as error:
            made.skipped.append(str(error))
            continue
        if not files:
            made.skipped.append(f"{path} holds no pictures.")
        for file in files:
            found.setdefault(
                file.resolve(), (file, file.relative_to(path) if path.is_dir() else Path(file.name))
            )
    places = distinct_names([place for _, place in found.values()])
    for (file, _), place in zip(found.values(), places, strict=True):
        if (out / place).resolve() in found:
            made.skipped.append(
                f"The result of {file} would replace an input, {out / place}; choose another output"
                " folder."
            )
        else:
            made.targets[file] = out / place
    return made


def _is_result(file: Path, source: Path, out: Path) -> bool:
    results = out.resolve()
    return source.resolve() in results.parents and results in file.resolve().parents


def distinct_names(places: list[Path]) -> list[Path]:
    """A PNG name for every place, no two alike, not even where the file system takes ``A.png`` and
    ``a.png`` for one.
    """
    count = Counter(_folded(place.with_suffix(".png")) for place in places)
    taken = {name for name, uses in count.items() if uses == 1}
    names = []
    for place in places:
        name = place.with_suffix(".png")
        if count[_folded(name)] > 1:
            name = next(longer for longer in _longer_names(place) if _folded(longer) not in taken)
            taken.add(_folded(name))
        names.append(name)
    return names


def _longer_names(place: Path) -> Iterator[Path]:
    yield place.with_name(f"{place.name}.png")
    number = 2
    while True:
        yield place.with_name(f"{place.name}-{number}.png")
        number += 1


def _folded(path: Path) -> str:
    return str(path).casefold()


def prompt_file(prompt: VisualPrompt, file: Path, target: Path, overwrite: bool = False) -> None:
    """Write one prompted picture, whole or not at all. Raises InputError with the reason to skip
    it.
    """
    if target.exists() and not overwrite:
        raise InputError(f"{file} has a result already, {target}; --overwrite replaces it.")
    prompted = prompt.apply(decode(file))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".saving-") as staged:
            prompted.save(Path(staged) / target.name)
            publish(Path(staged) / target.name, target)
    except OSError as error:
        raise InputError(
            f"{target} cannot be written ({(error.strerror or str(error)).lower()})."
        ) from error
