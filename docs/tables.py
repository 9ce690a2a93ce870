"""Tables in documents that are results: what stands between two marks is written from a file.

    python docs/tables.py                            # write every table of README.md anew
    python docs/tables.py keep RUN docs/results/NAME.json   # what a table needs of a run's results

``NAME`` is that of the experiment that made the run, ``experiments/NAME.yaml``. A table stands
between ``<!-- table: docs/results/NAME.json -->`` and ``<!-- end of table -->``; tests compare it
with its file.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from matboard.report import transfer_table_markdown
from matboard.results import TransferResults, read

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md",)
TABLE = re.compile(
    r"(<!-- table: (?P<file>\S+) -->\n).*?(<!-- end of table -->)", flags=re.DOTALL
)


def written(text: str, root: Path = ROOT) -> str:
    """A document with every table as its file has it."""

    def table(found: re.Match[str]) -> str:
        made = transfer_table_markdown(transfer(root / found["file"]))
        return f"{found[1]}\n{made}\n\n{found[3]}"

    return TABLE.sub(table, text)


def transfer(path: Path) -> TransferResults:
    """The results of a transfer study."""
    results = read(path)
    if not isinstance(results, TransferResults):
        raise SystemExit(f"{path} holds no results of a transfer study.")
    return results


def keep(run: Path, target: Path) -> None:
    """Write what a table needs: cells and what they come to over all tasks, and no examples."""
    results = transfer(run)
    cells = [cell.model_copy(update={"versus": {}}) for cell in results.cells]
    needed = {
        "cells": tuple(cells),
        "contrasts": tuple(one for one in results.contrasts if one.task is None),
        "prompts": (),
        "examples": (),
    }
    target.parent.mkdir(exist_ok=True)
    content = json.dumps(results.model_copy(update=needed).as_json())
    target.write_text(content + "\n", encoding="utf-8")


def main(words: list[str]) -> None:
    """See the module."""
    if words[:1] == ["keep"] and len(words) == 3:
        keep(Path(words[1]), Path(words[2]))
    elif words:
        raise SystemExit(__doc__)
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
