"""Test pictures as models saw them without and with a prompt, and what they said."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from matboard.errors import RunError
from matboard.results.shown import Example, Shown
from matboard.results.transfer import Scorer
from matboard.runs import Run, replace_atomically
from matboard.tasks.task import Sample, Task
from matboard.transfer.conditions import Showing, show
from matboard.transfer.table import VERDICTS, TransferTable


def examples(run: Run, table: TransferTable, count: int) -> Iterator[Example]:
    """The first test samples, for every model: the same ones for all, chosen before anybody saw an
    answer.
    """
    task = table.tasks[0]
    learned = [showing for showing in table.shown if showing.facts.role == "method"]
    pair = (table.shown[0], learned[-1])
    picked = range(min(count, len(task.test)))
    for index in picked:
        picture = task.test[index].load()
        for showing in pair:
            file = run.path(_picture(index, showing, table))
            seen = show(showing.at(task=task.name)[0], picture)
            replace_atomically(file, partial(seen.save, format="PNG"))
    for model in table.models:
        for index in picked:
            yield _example(table, model, task, index, pair)


def _example(
    table: TransferTable,
    model: str,
    task: Task,
    index: int,
    pair: tuple[Showing, Showing],
) -> Example:
    sample = task.test[index]
    shown = []
    for showing in pair:
        said, right = _said(table, model, task, index, showing.name)
        picture = _picture(index, showing, table)
        shown.append(
            Shown(condition=showing.name, picture=picture, said=said, right=right)
        )
    return Example(
        model=model,
        task=table.task_name(task),
        question=sample.question,
        answers=sample.right,
        shown=tuple(shown),
    )


def _picture(index: int, showing: Showing, table: TransferTable) -> str:
    return f"examples/{index}-{table.shown.index(showing)}.png"


def _said(
    table: TransferTable, model: str, task: Task, index: int, condition: str
) -> tuple[str, bool]:
    """What a model answered, by the first scorer that asked, and whether that is right."""
    sample: Sample = task.test[index]
    scorers: tuple[Scorer, ...] = ("ranking", "generation")
    for scorer in scorers:
        found = table.scored(model, task, condition, scorer)
        if not found:
            continue
        if found[0].reasons and found[0].reasons[index]:
            return f"(no answer: {found[0].reasons[index]})", False
        row = found[0].scores[index]
        if scorer == "generation":
            return found[0].texts[index], bool(row[VERDICTS.index("right")])
        best = int(row.argmax())
        return sample.candidates[best], best in sample.labels
    raise RunError(f"Nothing was asked of {model} about {task.name} under {condition}.")
