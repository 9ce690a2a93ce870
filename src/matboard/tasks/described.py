"""A task that a YAML file describes: any data set on the Hub, or tables on the disk, with columns
of any names, and how it is asked and judged.

=================================  ===========================================================
``hub``, ``config``                a data set's id, and which of its configurations
``train``, ``test``                split names on the Hub; else parquet files, relative to
                                   this one. One or a list; without ``test`` a part is drawn
``image``, ``label``               columns: the picture, and class numbers or names
``columns``                        our field → column: question, answer, answers, candidates,
                                   caption, id
``question``, ``candidates``,      what is asked, the answers to choose from (``[]``: open
``caption``                        answers), and what the guide reads (``{name}`` is the
                                   answer), where rows do not say it
``metric``, ``mirror``             see Task
=================================  ===========================================================
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from matboard.disk import read_regular
from matboard.errors import HubError, TaskError, UnknownName, first_line
from matboard.metrics import METRICS
from matboard.tasks.completeness import missing_classes
from matboard.tasks.datasets.sources import HubTable
from matboard.tasks.readable import readable_records, readable_task, with_note
from matboard.tasks.readers.parquet import Columns, parquet_records
from matboard.tasks.records import FIELDS, Record, Records, Split, assemble
from matboard.tasks.request import Request
from matboard.tasks.task import Task

SUFFIXES = (".yaml", ".yml")
MOST_BYTES = 2**16


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Description(BaseModel):
    """What a file may say; see the module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hub: str | None = None
    config: str = "default"
    train: Names = Field(min_length=1)
    test: Names = ()
    image: str | None = None
    label: str = "label"
    columns: dict[str, str] = {}
    question: str | None = None
    candidates: tuple[str, ...] | None = None
    caption: str | None = None
    metric: str = "accuracy"
    mirror: bool | None = None


def described_task(path: Path, request: Request) -> Task:
    """The task that a file describes. Raises TaskError, UnknownName."""
    said = _description(path)
    records = _records(said, path)
    found = [_worded(record, said) for record in records.found]
    records = replace(records, found=found)
    if not records.is_split:
        records = readable_records(records)
    task = assemble(path.stem, records, seed=request.seed)
    task = replace(
        task,
        metric=said.metric,
        mirror=task.mirror if said.mirror is None else said.mirror,
        notes=(*task.notes, *missing_classes(task)),
    )
    readable = readable_task(task, request.train, request.test, request.seed)
    return with_note(readable, records.unit)


def _description(path: Path) -> Description:
    try:
        text = read_regular(path, MOST_BYTES).decode()
        said = Description.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        known = ", ".join(Description.model_fields)
        raise TaskError(
            f"{path} describes no task: {key}: {first['msg']}. Known keys: {known}."
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise TaskError(f"{path} is not YAML: {first_line(error)}.") from None
    if said.metric not in METRICS:
        raise UnknownName("metric", said.metric, METRICS)
    if strange := sorted(set(said.columns) - set(FIELDS)):
        raise UnknownName(f"field in columns of {path}", strange[0], FIELDS)
    return said


def _records(said: Description, path: Path) -> Records:
    columns = Columns(said.image, said.label, fields=said.columns)
    if said.hub is None:
        files: dict[Split | None, list[Path]] = {}
        for part, names in _parts(said).items():
            files[part] = [path.parent / name for name in names]
        return parquet_records(files, columns)
    parts = _parts(said)
    table = HubTable(
        said.hub,
        said.config,
        train=parts.get("train", ()),
        test=parts.get("test", ()),
        unsplit=parts.get(None, ()),
        columns=columns,
    )
    try:
        return table.records()
    except HubError as error:
        raise TaskError(
            f"The data set {said.hub} that {path} names could not be had from the Hub: {error}."
        ) from None


def _parts(said: Description) -> dict[Split | None, tuple[str, ...]]:
    if not said.test:
        return {None: said.train}
    return {"train": said.train, "test": said.test}


def _worded(record: Record, said: Description) -> Record:
    caption = record.caption
    if caption is None and said.caption is not None:
        caption = said.caption.replace("{name}", record.answer)
    candidates = record.candidates
    if said.candidates is not None:
        candidates = said.candidates
    return replace(
        record,
        question=record.question or said.question,
        candidates=candidates,
        caption=caption,
    )
