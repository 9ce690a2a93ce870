"""Files of results, read: the right model by ``kind``, or one sentence that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from matboard.errors import RunError
from matboard.results.analysis import AnalysisResults
from matboard.results.choice import ChoiceResults
from matboard.results.cost import CostResults
from matboard.results.fits import FitResults, StreamFitResults, StudyPlan
from matboard.results.parts import SCHEMA
from matboard.results.search import SearchResults
from matboard.results.selection import SelectionResults
from matboard.results.steps import StepRow
from matboard.results.stream import StreamResults
from matboard.results.transfer import TransferResults

Results: TypeAlias = (
    TransferResults
    | StreamResults
    | StudyPlan
    | FitResults
    | StreamFitResults
    | SelectionResults
    | ChoiceResults
    | AnalysisResults
    | SearchResults
    | CostResults
)

_KINDS: dict[str, type[Results]] = {
    "transfer": TransferResults,
    "stream": StreamResults,
    "plan": StudyPlan,
    "fit": FitResults,
    "stream-fit": StreamFitResults,
    "selection": SelectionResults,
    "choice": ChoiceResults,
    "analysis": AnalysisResults,
    "search": SearchResults,
    "cost": CostResults,
}


def read(source: Path | Mapping[str, Any]) -> Results:
    """What a run wrote.

    Args:
        source: a run folder, a JSON file, or a file's content.

    Raises:
        RunError: there is nothing to read, or it does not follow this version's schema.
    """
    if isinstance(source, Mapping):
        return _parsed(source, "These results")
    path = source / "results.json" if source.is_dir() else source
    return _parsed(_content(path), f"The results in {path}")


def json_schemas() -> dict[str, dict[str, Any]]:
    """Kind of file → its JSON schema."""
    models = {**_KINDS, "step": StepRow}
    return {
        kind: model.model_json_schema(by_alias=True) for kind, model in models.items()
    }


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing: results appear when a run has finished. Run the same command again"
            " to go on with it."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{path} cannot be read ({error}). Run the same command with another --out to make it"
            " anew."
        ) from error
    if not isinstance(content, dict):
        raise RunError(
            f"{path} holds {type(content).__name__} where an object of results was expected. Run"
            " the same command with another --out to make it anew."
        )
    return content


def _parsed(content: Mapping[str, Any], name: str) -> Results:
    schema = content.get("schema", 1)
    if schema != SCHEMA:
        raise RunError(_other_schema(schema, name))
    kind = content.get("kind")
    if kind not in _KINDS:
        raise RunError(
            f"{name} are of kind {kind!r}; expected one of {', '.join(_KINDS)}. Run the same"
            " command with another --out to make them anew."
        )
    try:
        return _KINDS[kind].model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "results"
        reason = first["msg"].removeprefix("Value error, ")
        raise RunError(
            f"{name} do not follow schema {SCHEMA} at {where}: {reason}. Run the same command with"
            " another --out to make them anew."
        ) from error


def _other_schema(schema: Any, name: str) -> str:
    if isinstance(schema, int) and schema > SCHEMA:
        return (
            f"{name} follow schema {schema}, and this matboard reads schema {SCHEMA}. Upgrade"
            " matboard to read them."
        )
    return (
        f"{name} were written by matboard 0.1.0 in another form, which this version does not read."
        " Run the same command with another --out to make them anew, or read them with"
        " matboard 0.1.0."
    )
