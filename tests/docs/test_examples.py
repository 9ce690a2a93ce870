"""The notebooks of ``examples/``: what they say runs."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

import matboard

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook, checked against its format."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_there_is_a_notebook_for_each_journey() -> None:
    names = [path.stem for path in NOTEBOOKS]
    assert names == ["border", "stream", "two_prompts"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_is_whole_and_uses_public_names_alone(path: Path) -> None:
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    for cell in cells:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "matboard" or node.attr in matboard.__all__
    # outputs would be those of one machine, and large: they are made by running it
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    from nbclient import NotebookClient

    notebook = read(path)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources=where
    ).execute()
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert last.outputs, "its last cell shows nothing"
