"""From pictures to prompted PNG files: nothing lost, nothing half written, and a sentence for
whatever was skipped. No torch.

A result remembers the name of its picture, in a text field of the PNG file. So another picture's
result is never taken for one's own, and results are not prompted again.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from matboard.disk import regular_size, write_whole
from matboard.errors import InputError
from matboard.images import SUFFIXES, decode
from matboard.prompts.artifact import VisualPrompt

SOURCE = "matboard-apply"
"""Text field of a result: the name of the picture that it was made of."""
_NAMED = 10
"""So many of the files that are no pictures are named; the rest is counted."""


@dataclass
class Work:
    """What is to be done.

    Attributes:
        targets: picture → PNG file to write, one to one.
        skipped: a sentence for whatever is left out.
        count: how many files and inputs are left out.
    """

    targets: dict[Path, Path] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    count: int = 0

    def skip(self, sentence: str, count: int = 1) -> None:
        """Leave something out, and say so."""
        self.skipped.append(sentence)
        self.count += count


def find_work(inputs: Iterable[Path], out: Path) -> Work:
    """Where each picture of ``inputs`` (files and folders) goes below ``out``: a folder keeps its
    structure, each file counts once.

    ``a.jpg`` becomes ``a.png``; beside another ``a.*``, also one of an earlier time, it becomes
    ``a.jpg.png``. Earlier results are no input.
    """
    work = Work()
    found: dict[str, tuple[Path, Path]] = {}
    for path in inputs:
        for file in _pictures(path, out, work):
            place = file.relative_to(path) if path.is_dir() else Path(file.name)
            found.setdefault(os.path.realpath(file), (file, place))

    def is_anothers(name: Path, place: Path) -> bool:
        return source_of(out / name) not in (None, _as_text(place.name))

    names = distinct_names([place for _, place in found.values()], is_anothers)
    for (file, _), name in zip(found.values(), names, strict=True):
        target = out / name
        if os.path.realpath(target) in found:
            work.skip(
                f"The result of {file} would replace an input, {target}; choose another output"
                " folder."
            )
        else:
            work.targets[file] = target
    return work


def _pictures(path: Path, out: Path, work: Work) -> Iterator[Path]:
    """Every visible file below a folder whose name ends like a picture's, or the named file."""
    if not path.is_dir():
        if path.exists() or path.is_symlink():
            yield from _not_results(path, [path], out, work)
        else:
            work.skip(
                f"{path} does not exist; expected a picture or a folder of pictures."
            )
        return
    pictures = []
    others = []
    for file in _files(path, out, work):
        if file.suffix.lower() in SUFFIXES:
            pictures.append(file)
        else:
            others.append(file)
    if others:
        work.skip(
            f"{path} holds files that are no pictures: {_named(others, path)}.",
            len(others),
        )
    if not pictures:
        work.skip(f"{path} holds no pictures.")
    yield from _not_results(path, pictures, out, work)


def _files(folder: Path, out: Path, work: Work) -> Iterator[Path]:
    """Visible files below a folder, sorted; not those below ``out``, where that is inside. Hidden
    files and folders are left alone, and named.
    """

    def unreadable(error: OSError) -> None:
        work.skip(
            f"{error.filename} cannot be read ({(error.strerror or str(error)).lower()})."
        )

    results = os.path.realpath(out)
    hidden = []
    for root, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(root)
        inside = []
        for name in sorted(folders):
            if (here / name).is_symlink():
                work.skip(
                    f"{here / name} is a link to a folder, which is not followed."
                )
            elif os.path.realpath(here / name) == results:
                continue
            elif name.startswith("."):
                hidden.append(here / name)
            else:
                inside.append(name)
        folders[:] = inside
        for name in sorted(names):
            if name.startswith("."):
                hidden.append(here / name)
            else:
                yield here / name
    if hidden:
        work.skip(
            f"{folder} holds hidden files, which are left alone: {_named(hidden, folder)}.",
            len(hidden),
        )


def _not_results(
    path: Path, files: Sequence[Path], out: Path, work: Work
) -> Iterator[Path]:
    """The files without those in ``out`` that were made from other pictures."""
    results = []
    folder = Path(os.path.realpath(out))
    for file in files:
        if (
            Path(os.path.realpath(file)).is_relative_to(folder)
            and source_of(file) is not None
        ):
            results.append(file)
        else:
            yield file
    if results:
        work.skip(
            f"{path} holds earlier results: {_named(results, path)}.", len(results)
        )


def _named(files: Sequence[Path], below: Path) -> str:
    names = [
        str(file.relative_to(below)) if file != below else file.name for file in files
    ]
    if len(names) <= _NAMED:
        return ", ".join(names)
    rest = Counter(file.suffix or "no ending" for file in files[_NAMED:])
    kinds = ", ".join(f"{count} {kind}" for kind, count in rest.most_common())
    return f"{', '.join(names[:_NAMED])} and {rest.total()} more ({kinds})"


def distinct_names(
    places: Sequence[Path],
    is_anothers: Callable[[Path, Path], bool] = lambda name, place: False,
) -> list[Path]:
    """A PNG name for every place, no two alike, not even where the file system takes ``A.png`` and
    ``a.png`` for one.

    Args:
        is_anothers: whether a name belongs to the result of another picture than a place's.
    """
    count = Counter(_folded(place.with_suffix(".png")) for place in places)
    taken = {name for name, uses in count.items() if uses == 1}
    names = []
    for place in places:
        name = place.with_suffix(".png")
        if count[_folded(name)] > 1 or is_anothers(name, place):
            name = next(
                longer
                for longer in _longer_names(place)
                if _folded(longer) not in taken and not is_anothers(longer, place)
            )
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


def prompt_file(
    prompt: VisualPrompt, file: Path, target: Path, overwrite: bool = False
) -> None:
    """Write one prompted picture, whole or not at all. Raises InputError with the reason to skip
    it.
    """
    if target.exists() and not overwrite:
        raise InputError(
            f"{file} has a result already, {target}; --overwrite replaces it."
        )
    prompted = prompt.apply(decode(file))
    note = PngInfo()
    note.add_text(SOURCE, _as_text(file.name))
    encoded = io.BytesIO()
    prompted.save(encoded, "PNG", pnginfo=note)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, encoded.getvalue(), replace=overwrite)
    except OSError as error:
        raise InputError(
            f"{target} cannot be written ({(error.strerror or str(error)).lower()})."
        ) from error


def source_of(file: Path) -> str | None:
    """The name of the picture that a result was made of, as its file says it; None for other
    files.
    """
    try:
        regular_size(file)
        with Image.open(file, formats=("PNG",)) as opened:
            said = opened.info.get(SOURCE)
    except Exception:  # what a decoder raises on a hostile file is no closed list
        return None
    return said if isinstance(said, str) else None


def _as_text(name: str) -> str:
    """A file's name as a PNG text field can hold it."""
    return quote(os.fsencode(name))
