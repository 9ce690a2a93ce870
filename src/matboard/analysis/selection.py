"""Which prompt serves which class.

A prompt pool (L2P, arXiv 2112.08654, §4.1) gives every picture k of its M prompts: those whose keys
are most similar to the picture's query. Counted class by class, the choices say whether prompts and
classes are related. Two things spoil the count. Where a whole batch votes for its prompts, the
batch's make-up decides, not the picture; judge choices made one picture at a time. Where a few
prompts win every time, the top-k hides what the keys would have said; ``similarity`` is the mean
before the top-k.

=============  ====================================================================================
their symbol   our name
=============  ====================================================================================
γ(q(x), k_m)   ``similarity[i, m]`` of sample i
N (top-N)      k, the columns of ``chosen``
I(Y; P)        ``mutual_information``: class Y and prompt P of a (sample, choice) pair drawn evenly
=============  ====================================================================================

A learner that met the classes in several orders has one selection an order. `pooled` tests them
together: the mean of their bits against its means under shuffles. A shuffle deals the labels anew
to the pictures, once for all orders, because all of them choose for the same pictures and so choose
alike. Shuffled order by order, the mean would vary too little and p would come out too small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matboard.errors import InputError

Array: TypeAlias = NDArray[Any]
_ROUNDING = 1e-12
"""Bits; statistics closer than this are equal: sums of at most 10⁵ terms err by less (a guess)."""


@dataclass(frozen=True, eq=False)
class Selection:
    """How often each class chose each prompt, and whether that is more than chance. C classes, M
    prompts.

    Attributes:
        classes: C names.
        samples: C counts; a class without samples has NaN in its row of every other array.
        prompts: M.
        frequency: ``C × M``, in [0, 1]: share of the class's samples that chose the prompt. Rows
            sum to k.
        class_entropy: C values in bits: entropy of the class's row, normalised to 1.
        usage: M shares of all choices, summing to 1.
        usage_entropy: bits; log2 M where all prompts serve alike, log2 k where the same k always
            serve.
        dead: prompts that no sample chose.
        mutual_information: bits, over all (sample, choice) pairs; biased upwards, so look at
            ``p_value``.
        p_value: share of label shuffles, this one counted, that reach the mutual information.
        permutations: how many shuffles that was.
        shuffled: the mutual information of each of them; empty where they were not kept.
        similarity: ``C × M``: mean similarity of key and query, before the top-k.
    """

    classes: tuple[str, ...]
    samples: Array
    prompts: int
    frequency: Array
    class_entropy: Array
    usage: Array
    usage_entropy: float
    dead: tuple[int, ...]
    mutual_information: float
    p_value: float
    permutations: int
    shuffled: Array
    similarity: Array

    def as_json(self) -> dict[str, Any]:
        """Plain lists and numbers; NaN becomes None."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Selection:
        """What ``as_json`` gave. Raises InputError where something is missing or does not fit
        together.
        """
        try:
            found = cls(
                classes=tuple(map(str, content["classes"])),
                samples=np.array(content["samples"], dtype=np.int64),
                prompts=int(content["prompts"]),
                frequency=np.array(content["frequency"], dtype=np.float64),
                class_entropy=np.array(content["class_entropy"], dtype=np.float64),
                usage=np.array(content["usage"], dtype=np.float64),
                usage_entropy=float(content["usage_entropy"]),
                dead=tuple(map(int, content["dead"])),
                mutual_information=float(content["mutual_information"]),
                p_value=float(content["p_value"]),
                permutations=int(content["permutations"]),
                shuffled=np.array(content.get("shuffled", []), dtype=np.float64),
                similarity=np.array(content["similarity"], dtype=np.float64),
            )
        except KeyError as error:
            raise InputError(
                f"This is not a saved selection: {error} is missing."
            ) from error
        except (TypeError, ValueError) as error:
            raise InputError(f"This is not a saved selection: {error}.") from error
        found._check_shapes()
        return found

    def _check_shapes(self) -> None:
        c = len(self.classes)
        m = self.prompts
        expected = {
            "frequency": (c, m),
            "similarity": (c, m),
            "samples": (c,),
            "class_entropy": (c,),
            "usage": (m,),
        }
        if any(getattr(self, name).shape != shape for name, shape in expected.items()):
            raise InputError(
                f"This is not a saved selection: its arrays do not fit {c} classes × {m} prompts."
            )
        if self.shuffled.shape not in ((0,), (self.permutations,)):
            raise InputError(
                f"This is not a saved selection: it holds {self.shuffled.size} of"
                f" {self.permutations} shuffles."
            )


@dataclass(frozen=True)
class Relation:
    """Whether classes and prompts are related, over several selections.

    Attributes:
        mutual_information: mean over the selections, bits.
        by_chance: the mean of that over all shuffles: what unrelated classes and prompts would
            show.
        p_value: share of shuffles, this one counted, that reach the mean.
        permutations: how many shuffles that was.
    """

    mutual_information: float
    by_chance: float
    p_value: float
    permutations: int


def selection(
    chosen: Array,
    similarity: Array,
    labels: Array,
    classes: Sequence[str],
    *,
    permutations: int = 999,
    seed: int = 0,
) -> Selection:
    """Count choices class by class and test by permutation whether class and prompt are related.

    Args:
        chosen: ``n × k`` indices of the prompts chosen for each test sample, each at most once a
            sample.
        similarity: ``n × M`` similarities of key and query before the top-k.
        labels: n indices of the samples' classes. Selections to be pooled need their samples in the
            same order.
        classes: names; one without samples is allowed.
        permutations: how often labels are shuffled over samples (a sample keeps its k choices
            together).
        seed: of the shuffles.

    Raises:
        InputError: shapes that do not fit, an index outside the pool or the classes, no sample at
            all.
    """
    chosen = np.asarray(chosen)
    similarity = np.asarray(similarity)
    labels = np.asarray(labels)
    _check(chosen, similarity, labels, len(classes), permutations)
    counts = _counts(chosen, labels, len(classes), similarity.shape[1])
    samples = np.bincount(labels, minlength=len(classes))
    statistic = _mutual_information(counts)
    tables = _shuffled(chosen, labels, counts.shape, permutations, seed)
    shuffled = np.array([_mutual_information(table) for table in tables])
    sums = np.zeros(counts.shape)
    np.add.at(sums, labels, similarity.astype(np.float64))
    usage = counts.sum(axis=0) / counts.sum()
    return Selection(
        classes=tuple(map(str, classes)),
        samples=samples,
        prompts=similarity.shape[1],
        frequency=_each_class(counts, samples),
        class_entropy=np.array(
            [_entropy(row) if row.sum() else np.nan for row in counts]
        ),
        usage=usage,
        usage_entropy=_entropy(usage),
        dead=tuple(int(prompt) for prompt in np.flatnonzero(usage == 0)),
        mutual_information=statistic,
        p_value=_p_value(statistic, shuffled),
        permutations=permutations,
        shuffled=shuffled,
        similarity=_each_class(sums, samples),
    )


def pooled(selections: Sequence[Selection]) -> Relation:
    """Test several selections of the same samples together, such as those of one learner that met
    the classes in several orders.

    Args:
        selections: made of the same samples in the same order, with the same seed and number of
            permutations, so that their shuffles pair up.

    Raises:
        InputError: none came, one kept no shuffles, or they differ in classes, samples or
            permutations.
    """
    if not selections:
        raise InputError(
            "No selection came, but at least one is needed to say whether classes and prompts are"
            " related."
        )
    if not all(found.shuffled.size for found in selections):
        raise InputError(
            "A selection was saved without its shuffles, which a test over several selections"
            " needs; make it again."
        )
    made_of = {_made_of(found) for found in selections}
    if len(made_of) > 1:
        raise InputError(
            "The selections differ in their classes, samples or permutations, so their shuffles do"
            " not pair up."
        )
    bits = float(np.mean([found.mutual_information for found in selections]))
    shuffled = np.mean([found.shuffled for found in selections], axis=0)
    return Relation(
        bits, float(shuffled.mean()), _p_value(bits, shuffled), len(shuffled)
    )


def _made_of(found: Selection) -> tuple[Any, ...]:
    """What must be the same for shuffles to pair up."""
    counts = sorted(zip(found.classes, found.samples.tolist()))
    return (*counts, found.permutations)


def _each_class(sums: Array, samples: Array) -> Array:
    """Mean over each class's samples; NaN for a class that has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / samples[:, None])


def _p_value(statistic: float, shuffled: Array) -> float:
    """Share of shuffles, the one that happened counted, that reach the statistic."""
    return float(1 + (shuffled >= statistic - _ROUNDING).sum()) / (1 + len(shuffled))


def _counts(chosen: Array, labels: Array, classes: int, prompts: int) -> Array:
    """``C × M``: how many (sample, choice) pairs."""
    places = labels[:, None] * prompts + chosen
    counts = np.bincount(places.ravel(), minlength=classes * prompts)
    return counts.reshape(classes, prompts)


def _shuffled(
    chosen: Array, labels: Array, shape: tuple[int, ...], permutations: int, seed: int
) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for _ in range(permutations):
        yield _counts(chosen, labels[rng.permutation(len(labels))], *shape)


def _mutual_information(counts: Array) -> float:
    """H(Y) + H(P) − H(Y, P) in bits; rounding errors around zero are zero."""
    of_classes = _entropy(counts.sum(axis=1))
    of_prompts = _entropy(counts.sum(axis=0))
    bits = of_classes + of_prompts - _entropy(counts)
    return bits if bits > _ROUNDING else 0.0


def _entropy(weights: Array) -> float:
    """Entropy in bits of weights, normalised to 1."""
    shares = weights[weights > 0] / weights.sum()
    return abs(float(-(shares * np.log2(shares)).sum()))  # one share of 1 would give −0


def _check(
    chosen: Array, similarity: Array, labels: Array, classes: int, permutations: int
) -> None:
    n = len(labels) if labels.ndim == 1 else 0
    if not n or not classes:
        raise InputError(
            "A selection needs labels of shape n and at least one class: labels have shape"
            f" {labels.shape}, classes are {classes}."
        )
    if (
        chosen.ndim != 2
        or similarity.ndim != 2
        or not len(chosen) == len(similarity) == n
    ):
        raise InputError(
            f"{n} labels need chosen prompts n × k and similarities n × M, but their shapes are"
            f" {chosen.shape} and {similarity.shape}."
        )
    _check_indices("label", labels, classes)
    _check_indices("chosen prompt", chosen, similarity.shape[1])
    if not chosen.shape[1] or (np.diff(np.sort(chosen, axis=1), axis=1) == 0).any():
        raise InputError("Every sample chooses at least one prompt, and none twice.")
    if not np.isfinite(similarity).all():
        raise InputError("Similarities are finite numbers, but one is not.")
    if permutations < 1:
        raise InputError(
            f"A permutation test needs at least one permutation, but {permutations} came."
        )


def _check_indices(what: str, indices: Array, limit: int) -> None:
    if not np.issubdtype(indices.dtype, np.integer):
        raise InputError(
            f"A {what} is an index, so of an integer type, but this one is {indices.dtype}."
        )
    wrong = indices[(indices < 0) | (indices >= limit)]
    if wrong.size:
        raise InputError(
            f"A {what} is an index from 0 to {limit - 1}, but one is {wrong[0]}."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and np.isnan(value) else value
