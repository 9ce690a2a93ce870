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
        self.shown, self._tokens = list(shown), list(tokens)
        self._starts = np.cumsum([0, *(len(part) for part in tokens)])
        self.width = int(tokens[0].shape[-1])

    def __len__(self) -> int:
        return len(self.shown)

    def tokens(self, rows: Sequence[int]) -> Float[Tensor, "row token dim"]:
        """The rows' eye tokens, float32."""
        parts = np.searchsorted(self._starts, rows, side="right") - 1
        return torch.from_numpy(
            np.stack([self._tokens[p][r - self._starts[p]] for p, r in zip(parts, rows)])
        ).float()


def open_album(pieces: Sequence[Piece], data: Path, cache: Path) -> Album:
    """The album of cached pieces (those not cached are left out)."""
    shown: list[Shown] = []
    tokens = []
    wnids = _wnids(data / "imagenet1k_one_per_class.npz")
    for piece in pieces:
        if not (cache / f"{piece.name}.npy").exists():
            continue
        packed = Packed.load(data / f"{piece.source}.npz")
        own = [] if packed.counts is not None else _class_names(piece.source, packed, data, wnids)
        for i in piece.indices(packed.labels):
            shown.append(Shown(own[packed.labels[i]]) if own else _counted(packed, int(i)))
        tokens.append(np.load(cache / f"{piece.name}.npy", mmap_mode="r"))
    return Album(shown, tokens)


def _wnids(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as z:
        return [str(w) for w in z["wnids"]]


def _class_names(
    source: str, packed: Packed, data: Path, wnids: list[str]
) -> list[tuple[str, ...]]:
    if source.startswith("cifar100"):
        return [cifar100_names(own) for own in packed.classes]
    return [
        imagenet_names(wnids.index(w), own)
        for w, own in zip(_wnids(data / f"{source}.npz"), packed.classes)
    ]


def _counted(packed: Packed, i: int) -> Shown:
    assert packed.counts is not None
    counts = {name: int(n) for name, n in zip(packed.classes, packed.counts[i]) if n}
    return Shown(
        tuple(
            dict.fromkeys(
                name
                for own in sorted(counts, key=lambda n: n == "person")
                for name in coco_names(own)
            )
        ),
        counts,
    )


class Questions:
    """Draws examples: 45 % broad names and 35 % any names (each equally often), 16 % presence, 4 %
    counting.

    Args:
        rows: the album's rows that may be asked about.
    """

    def __init__(self, album: Album, rows: Sequence[int], seed: int) -> None:
        self.album, self.rows, self.rng = (
            album,
            np.asarray([row for row in rows if album.shown[row].names]),
            np.random.default_rng(seed),
        )
        self.by_name: dict[str, list[int]] = {}
        for row in self.rows.tolist():
            for name in album.shown[row].names:
                self.by_name.setdefault(name, []).append(row)
        self.broad = [name for name in broad_names() if name in self.by_name]
        self.everything = sorted(self.by_name)
        self.counted = [row for row in self.rows.tolist() if album.shown[row].counts]

    def draw(self) -> Example:
        """One example."""
        kind = self.rng.random()
        if kind < 0.80:
            return self.name()
        return (
            self._presence(self._pick(self.rows))
            if kind < 0.96 or not self.counted
            else self._counting()
        )

    def name(self) -> Example:
        """A naming example: a broad name in 9 of 16 cases, else any name, each equally often."""
        name = self._of(self.broad if self.rng.random() < 9 / 16 else self.everything)
        return Example(self._pick(self.by_name[name]), self._of(NAMING), name)

    def _presence(self, row: int) -> Example:
        names = self.album.shown[row].names
        if self.rng.random() < 0.5:
            return Example(row, self._of(PRESENCE).format(self._of(names)), "yes")
        pool = self.broad if self.rng.random() < 0.7 else self.everything
        absent = next(name for _ in range(1000) if (name := self._of(pool)) not in names)
        return Example(row, self._of(PRESENCE).format(absent), "no")

    def _counting(self) -> Example:
        row = self._pick(self.counted)
        name, number = self._of(list(self.album.shown[row].counts.items()))
        return Example(row, self._of(COUNTING).format(name), str(number))

    def _pick(self, rows: Sequence[int] | np.ndarray) -> int:
        return int(rows[int(self.rng.integers(len(rows)))])

    def _of(self, things: Sequence[T]) -> T:
        return things[int(self.rng.integers(len(things)))]
