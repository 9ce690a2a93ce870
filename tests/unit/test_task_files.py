"""CSV tables, LLaVA's conversations, and tasks that a YAML file describes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matboard.errors import TaskError, UnknownName
from matboard.tasks import load_task
from tests.unit.datasets_on_disk import png, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abc":
        save(tmp_path / f"{name}.png")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv(folder: Path) -> None:
    path = write(
        folder / "birds.csv",
        "\ufeffimage,question,answer,answers,candidates,split\n"
        'a.png,"How many, roughly?",2,2|two,1|2|3,train\n'
        "b.png,,3,,1|2|3,test\n",
    )
    task = load_task(path)
    one, other = task.train[0], task.test[0]
    assert (one.question, one.answer) == ("How many, roughly?", "2")
    assert (one.candidates, one.accepted) == (("1", "2", "3"), ("two",))
    assert (other.question, other.answer) == ("This is a photo of a", "3")
    assert other.file == folder / "b.png"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "picture,answer\na.png,cat\n",
            "no column image in its first line; found: pic",
        ),
        ("", "has no column image in its first line; found: nothing"),
        (
            "image,anser\na.png,cat\n",
            "line 1: unknown field 'anser'; did you mean 'ans",
        ),
        ("image,answer\na.png\n", "line 2: has more or fewer cells than the first"),
        ("image,answer\na.png,cat,dog\n", "line 2: has more or fewer cells than the"),
        ("image,answer\na.png,\n", "line 2: answer must be text, but is None"),
        ("image,image,answer\n", "has the column 'image' more than once"),
        ('image,answer\na.png,"cat"x\n', "cannot be read as CSV"),
    ],
)
def test_csv_that_is_wrong(folder: Path, text: str, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        load_task(write(folder / "a.csv", text))


def turns(*words: str) -> list[dict[str, str]]:
    speakers = ["human", "gpt"] * len(words)
    return [{"from": s, "value": w} for s, w in zip(speakers, words, strict=False)]


def test_conversations(folder: Path) -> None:
    talks = [
        {
            "id": "x",
            "image": "a.png",
            "conversations": turns("<image>\nWhat is it?", "A cat.", "Sure?", "Yes."),
        },
        {
            "id": "y",
            "image": "b.png",
            "conversations": turns("And?\n<image>", "A dog."),
        },
        {"id": "z", "conversations": turns("Hello", "Hi")},
    ]
    path = folder / "chat.json"
    path.write_text(json.dumps(talks))
    task = load_task(path)
    samples = sorted((*task.train, *task.test), key=lambda sample: sample.id)
    assert [(s.id, s.question, s.answer) for s in samples] == [
        ("x#0", "What is it?", "A cat."),
        ("x#1", "Sure?", "Yes."),
        ("y#0", "And?", "A dog."),
    ]
    assert all(s.candidates == () for s in samples)
    assert {s.id[0] for s in task.train} & {s.id[0] for s in task.test} == set()
    assert [skip.id for skip in task.skipped] == ["z"]
    note = "1 questions follow others in their conversation; each is asked alone."
    assert note in task.notes


@pytest.mark.parametrize(
    ("talk", "sentence"),
    [
        (turns("only a question"), "must be questions and answers by turns"),
        (turns("a", "b")[::-1], "'gpt' speaks where human or user should"),
        ("text", "must be questions and answers by turns, but is 'text'"),
        ([1, 2], "a turn must be an object, but is 1"),
    ],
)
def test_conversations_that_are_wrong(
    folder: Path, talk: object, sentence: str
) -> None:
    path = folder / "chat.json"
    path.write_text(json.dumps([{"id": 1, "image": "a.png", "conversations": talk}]))
    with pytest.raises(TaskError, match=f"chat.json, conversation 0: .*{sentence}"):
        load_task(path)


def table(path: Path, **columns: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


ROWS = {
    "photo": [{"bytes": png(), "path": None}] * 3,
    "ask": ["What is worn?", "What is worn?", "Where?"],
    "said": [
        [{"answer": word, "answer_id": n} for n, word in enumerate(words.split())]
        for words in ("hat hat hat cap", "cap hat hat hat", "sea sea sea sea")
    ],
}
VQA = """
train: {train}
test: {test}
image: photo
columns: {{question: ask, answers: said}}
candidates: []
metric: vqa
"""


def check_vqa(task) -> None:
    one = task.test[0]
    assert (one.question, one.answer, one.accepted) == (
        "What is worn?",
        "hat",
        ("cap",),
    )
    assert (one.votes, one.candidates) == ((3, 1), ())
    assert (task.test[1].right, task.test[1].votes) == (("hat", "cap"), (3, 1))
    assert task.metric == "vqa"
    assert not task.mirror
    assert [(len(task.train), len(task.test))] == [(3, 3)]


def test_a_described_table(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", **ROWS)
    path = write(
        tmp_path / "worn.yaml", VQA.format(train="a.parquet", test="[a.parquet]")
    )
    task = load_task(path)
    assert task.name == "worn"
    check_vqa(task)


def test_a_described_data_set_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the Hub's cache, laid out as a download leaves it."""
    cache = tmp_path / "datasets--someone--worn"
    for split in ("train", "val"):
        table(cache / f"snapshots/abc/default/{split}/0000.parquet", **ROWS)
    reference = cache / "refs/refs/convert/parquet"
    reference.parent.mkdir(parents=True)
    reference.write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    text = "hub: someone/worn" + VQA.format(train="train", test="val")
    check_vqa(load_task(write(tmp_path / "worn.yaml", text)))
    with pytest.raises(
        TaskError, match=r"someone/worn that .* could not be had from the"
    ):
        load_task(write(tmp_path / "b.yaml", text.replace("test: val", "test: tests")))


def test_what_a_description_words(tmp_path: Path) -> None:
    rows = {"image": ROWS["photo"], "kind": ["cat", "dog", "cat"]}
    table(tmp_path / "a.parquet", **rows)
    path = write(
        tmp_path / "pets.yaml",
        "train: a.parquet\nlabel: kind\nquestion: Cat or dog?\ncandidates: [dog, cat, cow]\n"
        "caption: a picture of {name}\nmirror: true\n",
    )
    task = load_task(path)
    sample = next(s for s in (*task.train, *task.test) if s.answer == "cat")
    assert (sample.question, sample.caption) == ("Cat or dog?", "a picture of cat")
    assert sample.candidates == ("dog", "cat", "cow")
    assert task.mirror
    assert any("of 3 classes have no training picture" in note for note in task.notes)


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        (
            "train: a\nimages: photo",
            TaskError,
            "describes no task: images: Extra inputs",
        ),
        ("test: a", TaskError, "describes no task: train: Field required"),
        ("train: []", TaskError, "describes no task: train: "),
        ("- 1", TaskError, "describes no task: the file: "),
        ("train: [", TaskError, "is not YAML"),
        ("train: a\nmetric: acuracy", UnknownName, "Did you mean 'accuracy'"),
        ("train: a\ncolumns: {anser: a}", UnknownName, "Did you mean 'answer'"),
        ("train: nowhere.parquet", TaskError, "nowhere.parquet cannot be read"),
    ],
)
def test_a_description_that_is_wrong(
    tmp_path: Path, text: str, error: type, sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        load_task(write(tmp_path / "a.yaml", text))
