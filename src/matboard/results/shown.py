"""What a study of pixel prompts leaves to look at: pictures as models saw them, and prompts."""

from __future__ import annotations

from matboard.results.parts import Part


class Shown(Part):
    """A picture as a model saw it under a condition, and what the model said.

    Attributes:
        picture: a file in the run folder.
        right: whether the answer counts as right.
    """

    condition: str
    picture: str
    said: str
    right: bool


class Example(Part):
    """One test sample as one model saw it: under the first condition untouched, then prompted.

    Attributes:
        answers: those that count as right.
    """

    model: str
    task: str
    question: str
    answers: tuple[str, ...]
    shown: tuple[Shown, ...]


class PromptFacts(Part):
    """Where a learned prompt lies, and how it was learned.

    Attributes:
        condition: the name of the condition that it belongs to.
        model: the only model that it was judged on; None where it was judged on all of them.
        task: the only task that it was judged on; None where it was judged on all of them.
        run: what its lines in ``metrics.jsonl`` are called.
        folder: the saved prompt, inside the run folder.
        skipped_terms: terms of the method's objective that this prompt was learned without.
    """

    condition: str
    model: str | None = None
    task: str | None = None
    method: str | None = None
    seed: int | None = None
    run: str = ""
    folder: str
    geometry: str
    skipped_terms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
