"""LLaVA's JSON of conversations: a list of objects with ``image``, a path relative to the file, and
``conversations``, what human and model say by turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matboard.errors import TaskError, shown
from matboard.images import decode
from matboard.tasks.readers.json_array import json_items
from matboard.tasks.records import Record, Records, text_of
from matboard.tasks.task import Skipped

MARK = "<image>"
"""Where the picture stands in what the human says."""
ASKING = ("human", "user")
ANSWERING = ("gpt", "assistant", "model")


def chat_records(path: Path) -> Records:
    """One sample a question, its answer open: judged by what is generated. Questions that follow
    others are asked alone, which a note says; conversations without a picture are left out. Raises
    TaskError.
    """
    records = Records([])
    later = 0
    for number, said in enumerate(json_items(path)):
        where = f"{path.name}, conversation {number}"
        id = text_of({"id": number, **said}, "id", where)
        if said.get("image") is None:
            records.skipped.append(Skipped(id, "it has no image."))
            continue
        image = text_of(said, "image", where)
        turns = list(_turns(said.get("conversations"), where))
        later += len(turns) - 1
        for turn, (question, answer) in enumerate(turns):
            file = path.parent / image
            records.found.append(
                Record(
                    where=where,
                    id=f"{id}#{turn}",
                    picture=image,
                    load=partial(decode, file),
                    answer=answer,
                    question=question,
                    candidates=(),
                    file=file,
                )
            )
    if later > 0:
        records.notes.append(
            f"{later} questions follow others in their conversation; each is asked alone."
        )
    return records


def _turns(said: Any, where: str) -> Iterator[tuple[str, str]]:
    """Each question with its answer."""
    if not isinstance(said, list) or not said or len(said) % 2:
        raise TaskError(
            f"{where}: conversations must be questions and answers by turns, but is {shown(said)}."
        )
    for place in range(0, len(said), 2):
        question = _words(said[place], ASKING, where)
        answer = _words(said[place + 1], ANSWERING, where)
        yield question.replace(MARK, "").strip(), answer


def _words(turn: Any, expected: Sequence[str], where: str) -> str:
    if not isinstance(turn, Mapping):
        raise TaskError(f"{where}: a turn must be an object, but is {shown(turn)}.")
    speaker = text_of(turn, "from", where)
    if speaker not in expected:
        raise TaskError(
            f"{where}: {shown(speaker)} speaks where {' or '.join(expected)} should."
        )
    return text_of(turn, "value", where)
