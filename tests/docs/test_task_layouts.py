"""Every layout that docs/tasks.md shows is read as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from matboard import load_task

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"
LAYOUT = re.compile(r"<!-- layout: (\S+) -->\s+```(\w+)\n(.*?)```", re.DOTALL)
LAYOUTS = {name: (kind, text) for name, kind, text in LAYOUT.findall(PAGE.read_text())}
READ = {
    "pets": (["tabby cat", "dog"], ["tabby cat", "dog"]),
    "birds.jsonl": (["2"], ["3"]),
    "birds.csv": (["2"], ["3"]),
    "talk.json": (["A cat.", "A dog."], []),
    "packed": (["cat"], ["dog"]),
    "tables": (["cat"], ["dog"]),
    "worn.yaml": (["cat"], ["dog"]),
}
"""Layout → answers of the training and the test part; of one that is cut by lot, of both."""


@pytest.fixture
def written(tmp_path, monkeypatch) -> Path:
    """A folder with everything that the page writes down."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.jpg", "b.jpg")):
        Image.new("RGB", (16, 16), (90 * number, 80, 70)).save(name)
    for name, (kind, text) in LAYOUTS.items():
        if kind == "python":
            exec(compile(text, name, "exec"), {})
        elif name == "pets":
            for line in text.split():
                Path(line).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (16, 16), "red").save(line)
        else:
            Path(name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_page_shows_every_layout():
    assert LAYOUTS.keys() == READ.keys()


@pytest.mark.parametrize("name", READ)
def test_a_layout_is_read_as_it_stands_there(written, name):
    train, test = READ[name]
    task = load_task(written / name)
    found = ([s.answer for s in task.train], [s.answer for s in task.test])
    if test:
        assert tuple(map(sorted, found)) == (sorted(train), sorted(test))
    else:
        assert sorted(found[0] + found[1]) == train
    for sample in (*task.train, *task.test):
        assert sample.load().size == (16, 16)


def test_what_the_examples_say_beside_answers_is_read(written):
    for name in ("birds.jsonl", "birds.csv"):
        (sample,) = load_task(written / name).test
        assert sample.question.startswith("How many")
        assert sample.right == ("3", "three")
        assert sample.candidates[:3] == ("1", "2", "3")
    (sample,) = load_task(written / "worn.yaml").train
    assert (sample.question, sample.caption) == ("Cat or dog?", "a picture of a cat")
