"""Questions and answers about training pictures: naming in several wordings, presence, counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recipes.mini.names import broad_names, cifar100_names, coco_names, imagenet_names
from recipes.mini.pictures import Packed, Piece

NAMING = (
    "This is a photo of a",
    "This is a photo of a",
    "A picture of a",
    "What is this? This is a",
    "What is in the picture?",
    "What is in the image?",
    "Name the object in the picture.",
)
PRESENCE = (
    "Is there a {} in the image?",
    "Is there a {} in the picture?",
    "Does the picture show a {}?",
    "Do you see a {}?",
)
COUNTING = (
    "How many {}s are in the picture?",
    "How many {}s are in the image?",
    "How many {}s are there?",
)


T = TypeVar("T")


@dataclass(frozen=True)
class Example:
    """One question about one picture of an album."""

    row: int
    question: str
    answer: str


@dataclass(frozen=True)
class Shown:
    """What one view of a picture shows: names, own first; numbers of objects where they were
    counted.
    """

    names: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


class Album:
    """Cached eye tokens of many views, and what each view shows.

    Args:
        shown: per row.
        tokens: arrays ``row token dim`` (float16, may live on disk), joined in order.
    """

    def __init__(self, shown: Sequence[Shown], tokens: Sequence[np.ndarray]) -> None:
        self.shown = list(shown)
        self._tokens = list(tokens)
        self._starts = np.cumsum([0, *(len(array) for array in tokens)])

    def __len__(self) -> int:
        return len(self.shown)

    def tokens(self, rows: Sequence[int]) -> Float[Tensor, "row token dim"]:
        """The rows' eye tokens, float32."""
        places = np.searchsorted(self._starts, rows, side="right") - 1
        found = []
        for place, row in zip(places, rows, strict=True):
            found.append(self._tokens[place][row - self._starts[place]])
        return torch.from_numpy(np.stack(found)).float()


def open_album(pieces: Sequence[Piece], data: Path, cache: Path) -> Album:
    """The album of cached pieces (those not cached are left out)."""
    shown: list[Shown] = []
    tokens = []
    for piece in pieces:
        file = cache / f"{piece.name}.npy"
        if file.exists():
            shown += _what_is_shown(piece, data)
            tokens.append(np.load(file, mmap_mode="r"))
    return Album(shown, tokens)


def _what_is_shown(piece: Piece, data: Path) -> list[Shown]:
    packed = Packed.load(data / f"{piece.source}.npz")
    index = piece.indices(packed.labels).tolist()
    if packed.counts is not None:
        return [_counted(packed.classes, packed.counts[i]) for i in index]
    names = _class_names(piece.source, packed.classes, data)
    return [Shown(names[packed.labels[i]]) for i in index]


def _class_names(
    source: str, classes: Sequence[str], data: Path
) -> list[tuple[str, ...]]:
    if source.startswith("cifar100"):
        return [cifar100_names(own) for own in classes]
    order = _wnids(data / "imagenet1k_one_per_class.npz")
    wnids = _wnids(data / f"{source}.npz")
    return [
        imagenet_names(order.index(w), own)
        for w, own in zip(wnids, classes, strict=True)
    ]


def _wnids(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as z:
        return [str(w) for w in z["wnids"]]


def _counted(classes: Sequence[str], numbers: np.ndarray) -> Shown:
    """What a picture of many objects may be called, a person last, and how many there are."""
    counts = {name: int(n) for name, n in zip(classes, numbers, strict=True) if n}
    names: dict[str, None] = {}
    for own in sorted(counts, key=lambda name: name == "person"):
        names |= dict.fromkeys(coco_names(own))
    return Shown(tuple(names), counts)


class Questions:
    """Draws examples: 45 % broad names and 35 % any names (each equally often), 16 % presence, 4 %
    counting.

    Args:
        rows: the album's rows that may be asked about.
    """

    def __init__(self, album: Album, rows: Sequence[int], seed: int) -> None:
        self.album = album
        self._rng = np.random.default_rng(seed)
        self._rows = [row for row in rows if album.shown[row].names]
        self._by_name: dict[str, list[int]] = {}
        for row in self._rows:
            for name in album.shown[row].names:
                self._by_name.setdefault(name, []).append(row)
        self.broad = [name for name in broad_names() if name in self._by_name]
        self.everything = sorted(self._by_name)
        self._counted = [row for row in self._rows if album.shown[row].counts]

    def draw(self) -> Example:
        """One example."""
        kind = self._rng.random()
        if kind < 0.80:
            return self.name()
        if kind < 0.96 or not self._counted:
            return self._presence(self._of(self._rows))
        return self._counting()

    def name(self) -> Example:
        """A naming example: a broad name in 9 of 16 cases, else any name, each equally often."""
        pool = self.broad if self._rng.random() < 9 / 16 else self.everything
        name = self._of(pool)
        row = self._of(self._by_name[name])
        return Example(row, self._of(NAMING), name)

    def _presence(self, row: int) -> Example:
        names = self.album.shown[row].names
        if self._rng.random() < 0.5:
            wording = self._of(PRESENCE)
            return Example(row, wording.format(self._of(names)), "yes")
        pool = self.broad if self._rng.random() < 0.7 else self.everything
        absent = next(
            name for _ in range(1000) if (name := self._of(pool)) not in names
        )
        return Example(row, self._of(PRESENCE).format(absent), "no")

    def _counting(self) -> Example:
        row = self._of(self._counted)
        name, number = self._of(list(self.album.shown[row].counts.items()))
        return Example(row, self._of(COUNTING).format(name), str(number))

    def _of(self, things: Sequence[T]) -> T:
        return things[int(self._rng.integers(len(things)))]
