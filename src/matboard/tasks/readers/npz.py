"""Packed picture sets: all pictures of a part in one npz file.

Arrays, one entry a picture unless said otherwise:

=====================================  ==================================================
``data``                               all encoded pictures, one after the other (bytes)
``offsets``                            where each begins in ``data``, and the end (n + 1)
``labels``, ``names``                  the number of its class, and what it is called
``classes``                            names of the classes (any number)
``question``, ``answer``,              optional, one entry a question: what is asked, the
``question_image``                     answer, and the number of the picture it is about;
                                       these then make the samples instead of the classes
=====================================  ==================================================
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL.Image import Image

from matboard.disk import regular_size
from matboard.errors import TaskError, first_line
from matboard.images import decode
from matboard.tasks.records import Record, Records, Split, checked_text

PICTURES = ("data", "offsets", "labels", "names", "classes")
QUESTIONS = ("question", "answer", "question_image")
KINDS = {"data": "u", "offsets": "iu", "labels": "iu", "question_image": "iu"}
"""numpy's letters for the types an array may have; the others hold text or numbers."""
_TEXT = "Uiuf"

MOST_BYTES = 2**28
MOST_TIMES = 20
"""What a file's arrays may take unpacked: `MOST_BYTES`, or so many times the file's size where that
is more. Encoded pictures hardly pack; names, at four bytes a letter, do.
"""

Arrays = Mapping[str, NDArray[Any]]


class _Broken(Exception):
    """What is wrong with an array, as a clause."""


def npz_records(files: Mapping[Split | None, Sequence[Path]]) -> Records:
    """Packed picture sets; what is asked about the pictures, or else what they are."""
    found: list[Record] = []
    for split, paths in files.items():
        for path in paths:
            arrays = _arrays(path)
            ask = _questions if "question" in arrays else _classes
            found += ask(path, arrays, split)
    return Records(found)


def _classes(path: Path, arrays: Arrays, split: Split | None) -> Iterator[Record]:
    classes = clean_class_names(_texts(arrays["classes"]))
    candidates = tuple(dict.fromkeys(classes))
    names = _texts(arrays["names"])
    loads = _loads(path, arrays, names)
    for number, label in enumerate(arrays["labels"].tolist()):
        where = f"{path.name}, picture {number}"
        if not 0 <= label < len(classes):
            raise TaskError(
                f"{where}: label {label} names none of the {len(classes)} classes."
            )
        yield Record(
            where=where,
            id=_id(split, names[number]),
            picture=names[number],
            load=loads[number],
            answer=checked_text(classes[label], "class", where),
            split=split,
            candidates=candidates,
            file=path,
        )


def _questions(path: Path, arrays: Arrays, split: Split | None) -> Iterator[Record]:
    names = _texts(arrays["names"])
    loads = _loads(path, arrays, names)
    questions = _texts(arrays["question"])
    answers = _texts(arrays["answer"])
    for number, picture in enumerate(arrays["question_image"].tolist()):
        where = f"{path.name}, question {number}"
        if not 0 <= picture < len(names):
            raise TaskError(
                f"{where}: asks about picture {picture}, but there are {len(names)}."
            )
        yield Record(
            where=where,
            id=_id(split, f"{names[picture]}#{number}"),
            picture=names[picture],
            load=loads[picture],
            answer=checked_text(answers[number], "answer", where),
            split=split,
            question=checked_text(questions[number], "question", where),
            file=path,
        )


def _texts(array: NDArray[Any]) -> list[str]:
    return [str(entry) for entry in array.tolist()]


def _id(split: Split | None, name: str) -> str:
    return f"{split}/{name}" if split else name


def _loads(path: Path, arrays: Arrays, names: Sequence[str]) -> list[partial[Image]]:
    bounds = pairwise(arrays["offsets"].tolist())
    found = []
    for name, (start, stop) in zip(names, bounds, strict=True):
        found.append(partial(_decode, arrays["data"][start:stop], f"{name} of {path}"))
    return found


def _decode(data: NDArray[np.uint8], name: str) -> Image:
    return decode(data.tobytes(), name=name)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that are ours, each checked before it is unpacked."""
    try:
        size = regular_size(path)
        with zipfile.ZipFile(path) as archive:
            arrays = dict(_unpacked(archive, size))
        _check_lengths(arrays)
    except _Broken as broken:
        raise TaskError(f"{path} is not a packed picture set: {broken}.") from None
    except (
        Exception
    ) as error:  # what zip and numpy raise on a damaged file is no closed list
        reason = first_line(error)
        raise TaskError(
            f"{path} cannot be read as a packed picture set: {reason}."
        ) from error
    return arrays


def _unpacked(
    archive: zipfile.ZipFile, file_size: int
) -> Iterator[tuple[str, NDArray[Any]]]:
    there = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
    for key in PICTURES:
        if key not in there:
            few = ", ".join(sorted(there)[:20]) or "none"
            raise _Broken(f"it has no array {key!r}, only {few}")
    wanted = [key for key in (*PICTURES, *QUESTIONS) if key in there]
    size = sum(there[key].file_size for key in wanted)
    most = max(MOST_BYTES, MOST_TIMES * file_size)
    if size > most:
        raise _Broken(
            f"unpacked it would have {size} bytes, at most {most} are expected"
        )
    for key in wanted:
        entry = there[key]
        with archive.open(entry) as stream:
            _check_header(stream, key, entry.file_size)
        with archive.open(entry) as stream:
            yield key, npy.read_array(stream, allow_pickle=False)


def _check_header(stream: Any, key: str, size: int) -> None:
    """See that an array is what its name says, and no larger than the bytes there are for it.

    Args:
        stream: the array's file in the archive.
        size: what the archive says of that file's bytes.
    """
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise _Broken(
            f"its array {key!r} is of the npy version {version}, 1 or 2 is expected"
        )
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    if len(shape) != 1:
        raise _Broken(
            f"its array {key!r} has the shape {shape}, one dimension is expected"
        )
    no_bytes = key == "data" and dtype.itemsize != 1
    if no_bytes or dtype.kind not in KINDS.get(key, _TEXT):
        raise _Broken(f"its array {key!r} is of the type {dtype}, which it cannot be")
    if prod(shape) * dtype.itemsize > size:
        raise _Broken(
            f"its array {key!r} claims {shape[0]} entries, more than the file holds"
        )


def _check_lengths(arrays: Arrays) -> None:
    labels = len(arrays["labels"])
    names = len(arrays["names"])
    offsets = len(arrays["offsets"])
    if not labels == names == offsets - 1:
        raise _Broken(
            f"its arrays disagree: {labels} labels, {names} names, {offsets} offsets"
        )
    bounds = arrays["offsets"].tolist()  # Python's numbers do not overflow
    size = len(arrays["data"])
    if bounds != sorted(bounds) or bounds[0] < 0 or bounds[-1] > size:
        raise _Broken(f"its offsets do not rise from 0 to the {size} bytes of its data")
    asked = [len(arrays[key]) for key in QUESTIONS if key in arrays]
    if asked and asked != [asked[0]] * len(QUESTIONS):
        raise _Broken(
            "question, answer and question_image must all be there, of one length"
        )


def clean_class_names(names: Sequence[str]) -> list[str]:
    """ "goldfish, Carassius auratus" → "goldfish", ``_`` → space; where two would then read alike,
    both keep their synonyms.
    """
    plain = [name.replace("_", " ").strip() for name in names]
    short = [name.split(",")[0].strip() for name in plain]
    times = Counter(short)
    chosen = []
    for brief, full in zip(short, plain, strict=True):
        chosen.append(brief if times[brief] == 1 else full)
    return chosen
