"""Readers: every layout and format, and what is wrong with a file said in one sentence."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from matboard.errors import TaskError
from matboard.tasks import Task, load_task
from matboard.tasks.readers.npz import clean_class_names


def png(colour: str = "red", size: int = 6) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(out, "PNG")
    return out.getvalue()


def put(folder: Path, names: dict[str, int]) -> None:
    """Class folders of so many pictures each."""
    for name, count in names.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.png").write_bytes(png())


def pack(path: Path, labels: list[int], classes: list[str], **more: list) -> None:
    blobs = [png(size=i + 1) for i in range(len(labels))]
    arrays = {
        "data": np.frombuffer(b"".join(blobs), dtype=np.uint8),
        "offsets": np.cumsum([0, *map(len, blobs)]),
        "labels": np.array(labels, dtype=np.int32),
        "names": np.array(
            [f"{classes[label]}/{i}.png" for i, label in enumerate(labels)]
        ),
        "classes": np.array(classes),
    }
    np.savez(path, **arrays | {key: np.array(value) for key, value in more.items()})


def write_jsonl(path: Path, *lines: object) -> Path:
    path.write_text(
        "\n".join(
            line if isinstance(line, str) else json.dumps(line) for line in lines
        ),
        encoding="utf-8",
    )
    return path


def ids(task: Task) -> list[str]:
    return [s.id for s in (*task.train, *task.test)]


# Class folders
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test_name", ["test", "val", "valid"])
def test_part_folders(tmp_path: Path, test_name: str) -> None:
    put(tmp_path / "train", {"sea_horse": 3, "cat": 2})
    put(tmp_path / test_name, {"sea_horse": 1, "cat": 1})
    task = load_task(tmp_path)
    assert len(task.train) == 5
    assert len(task.test) == 2
    assert task.mirror
    assert task.notes == ()
    first = task.test[-1]
    assert first.id == f"{test_name}/sea_horse/0.png"
    assert first.question == "This is a photo of a"
    assert first.answer == "sea horse"
    assert first.candidates == ("cat", "sea horse")
    assert first.caption == "this is a photo of a sea horse"
    assert first.load().size == (6, 6)


def test_class_folders_alone_are_split_by_lot_and_said_so(tmp_path: Path) -> None:
    put(tmp_path, {"cat": 10, "dog": 10})
    task = load_task(tmp_path, seed=1)
    assert Counter(s.answer for s in task.test) == {"cat": 2, "dog": 2}
    assert task.notes == (
        "There is no test part: 4 of 20 pictures were drawn as one (seed 1, balanced).",
    )
    assert sorted(ids(task)) == sorted(
        {f"{c}/{i}.png" for c in ("cat", "dog") for i in range(10)}
    )
    assert (
        ids(task)
        == ids(load_task(str(tmp_path), seed=1))
        != ids(load_task(tmp_path, seed=2))
    )


def test_of_two_test_folders_one_is_taken_and_said_so(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        put(tmp_path / part, {"cat": 1, "dog": 1})
    task = load_task(tmp_path)
    assert {s.id.split("/")[0] for s in task.test} == {"test"}
    assert task.notes == ("val/ was left aside: test/ is the test part.",)


def test_every_skipped_file_is_listed_and_counted_once(tmp_path: Path) -> None:
    put(tmp_path / "train", {"cat": 3, "dog": 3})
    put(tmp_path / "test", {"cat": 2, "dog": 2})
    (tmp_path / "train/cat/0.png").write_bytes(png(size=64)[:-40])
    (tmp_path / "train/dog/1.png").write_bytes(b"")
    (tmp_path / "test/dog/notes.txt").write_text("not a picture")
    (tmp_path / "test/dog/.hidden").write_text("")
    task = load_task(tmp_path)
    assert len(task.train) == 4
    assert len(task.test) == 4
    names = ["test/dog/notes.txt", "train/cat/0.png", "train/dog/1.png"]
    assert [s.id for s in task.skipped] == names
    assert task.notes == (
        f"Skipped 3 of the 11 files looked at: {', '.join(names)}. The first: not a picture file.",
    )


def test_a_part_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "train", {"cat": 3, "dog": 3})
    put(tmp_path / "test", {"cat": 2, "dog": 2})
    for broken in (tmp_path / "test").rglob("*.png"):
        broken.write_bytes(b"broken")
    with pytest.raises(
        TaskError, match=r"None of the 4 test pictures of task '.*' can be read"
    ):
        load_task(tmp_path)
    with pytest.raises(
        TaskError, match=r"None of the 4 test pictures of task '.*' can be read"
    ):
        load_task(tmp_path, test=1)


def test_a_note_names_few_of_many_skipped_files(tmp_path: Path) -> None:
    put(tmp_path, {"cat": 2, "dog": 2})
    for number in range(30):
        (tmp_path / "cat" / f"{number:02}.txt").touch()
    task = load_task(tmp_path)
    assert len(task.skipped) == 30
    assert re.search(
        r"Skipped 30 of the 34 files .*cat/19\.txt and 10 more\.", task.notes[-1]
    )


def test_limits_are_balanced(tmp_path: Path) -> None:
    put(tmp_path, {"cat": 20, "dog": 20})
    task = load_task(tmp_path, train=6, test=4)
    assert Counter(s.answer for s in task.train) == {"cat": 3, "dog": 3}
    assert len(task.test) == 4


def test_as_many_are_had_as_were_asked_for_though_some_cannot_be_read(
    tmp_path: Path,
) -> None:
    put(tmp_path / "train", {"cat": 20, "dog": 20})
    put(tmp_path / "test", {"cat": 20, "dog": 20})
    for number in range(0, 20, 2):
        (tmp_path / f"test/cat/{number}.png").write_bytes(b"broken")
    task = load_task(tmp_path, train=4, test=10, seed=3)
    assert Counter(s.answer for s in task.test) == {"cat": 5, "dog": 5}
    assert task.skipped
    whole = load_task(tmp_path)
    assert {s.id for s in task.test} <= {s.id for s in whole.test}
    assert len(whole.skipped) == 10


def test_a_split_is_drawn_from_pictures_that_can_be_read(tmp_path: Path) -> None:
    """Limits change nothing about who is in which part."""
    put(tmp_path, {"cat": 10, "dog": 10})
    for number in range(5):
        (tmp_path / f"cat/{number}.png").write_bytes(b"broken")
    task = load_task(tmp_path, seed=1)
    assert len(task.train) == 12
    assert len(task.test) == 3
    assert task.notes == (
        "There is no test part: 3 of 15 pictures were drawn as one (seed 1, balanced).",
        task.notes[1],
    )
    assert task.notes[1].startswith(
        "Skipped 5 of the 20 files looked at: cat/0.png, cat/1.png,"
    )
    some = load_task(tmp_path, seed=1, test=2)
    assert {s.id for s in some.test} < {s.id for s in task.test}


def test_a_pipe_is_listed_and_never_opened(tmp_path: Path) -> None:
    put(tmp_path, {"cat": 2, "dog": 2})
    os.mkfifo(tmp_path / "cat/endless.png")
    (tmp_path / "dog/gone.png").symlink_to(tmp_path / "nowhere.png")
    assert [s.id for s in load_task(tmp_path).skipped] == [
        "cat/endless.png",
        "dog/gone.png",
    ]
    os.mkfifo(tmp_path / "endless.jsonl")
    with pytest.raises(
        TaskError, match=r"endless.jsonl cannot be read: a pipe, socket or device"
    ):
        load_task(tmp_path / "endless.jsonl")
    lines = [
        {"image": name, "answer": "cat"} for name in ("cat/endless.png", "/dev/zero")
    ]
    with pytest.raises(
        TaskError, match=r"None of the 2 pictures can be read\. .* a pipe, socket"
    ):
        load_task(write_jsonl(tmp_path / "a.jsonl", *lines))


def test_a_file_name_that_is_no_text_is_skipped(tmp_path: Path) -> None:
    put(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "cat" / os.fsdecode(b"\xff.png")).write_bytes(png())
    task = load_task(tmp_path)
    assert [(s.id, s.reason) for s in task.skipped] == [
        ("cat/\\udcff.png", "its name is not UTF-8.")
    ]


def test_folders_that_are_no_task_say_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(
        TaskError,
        match="expected at least two class folders, or train/ and test/ folders that hold them",
    ):
        load_task(tmp_path)
    put(tmp_path / "val", {"cat": 1, "dog": 1})
    with pytest.raises(TaskError, match=r"holds val/ but no train/"):
        load_task(tmp_path)
    put(tmp_path / "train", {"cat": 1})
    (tmp_path / "train/dog").mkdir()
    with pytest.raises(
        TaskError,
        match=r"Class folder .*dog holds no picture \(.*\.png.*\); fill or remove it",
    ):
        load_task(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(
        TaskError,
        match=(
            r"a.zip is not a task: expected a folder of class folders, or a .jsonl, .csv, .json"
            r" \(LLaVA's conversations\), .npz, .parquet or .yaml file"
        ),
    ):
        load_task(tmp_path / "a.zip")


# JSONL
# ------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(png(size=i + 1))
    return tmp_path


def test_jsonl_with_every_field(pictures: Path) -> None:
    said = {
        "image": "1.png",
        "question": "Left or right?",
        "answer": "left",
        "candidates": ["left", "right"],
        "caption": "an arrow",
        "id": "q1",
    }
    path = write_jsonl(
        pictures / "arrows.jsonl",
        {**said, "split": "train"},
        "",
        {**said, "id": "q2", "image": "2.png", "split": "val"},
    )
    task = load_task(path)
    assert task.name == "arrows"
    assert not task.mirror
    assert ids(task) == ["q1", "q2"]
    got = task.test[0]
    assert got.question == "Left or right?"
    assert got.answer == "left"
    assert got.candidates == ("left", "right")
    assert got.caption == "an arrow"
    assert got.load().size == (3, 3)


def test_jsonl_defaults(pictures: Path) -> None:
    lines = [
        {"image": f"{i}.png", "answer": answer}
        for i, answer in enumerate(["yes", "no", 10, 9, "yes", "no"])
    ]
    task = load_task(write_jsonl(pictures / "a.jsonl", *lines))
    by_id = {s.id: s for s in (*task.train, *task.test)}
    assert by_id["0.png#1"].candidates == ("no", "yes")
    assert by_id["2.png#3"].candidates == ("9", "10")
    assert by_id["2.png#3"].caption == "this is a photo of a 10"
    assert "drawn as one" in task.notes[0]


def test_jsonl_open_answers(pictures: Path) -> None:
    lines = [
        {
            "image": f"{i}.png",
            "question": "What?",
            "answer": f"thing {i}",
            "candidates": [],
        }
        for i in range(2)
    ]
    task = load_task(write_jsonl(pictures / "a.jsonl", *lines))
    assert task.test[0].candidates == ()
    assert task.test[0].caption.startswith("What? thing")


def test_questions_about_one_picture_stay_together(pictures: Path) -> None:
    lines = [
        {"image": f"{i}.png", "question": f"q{k}?", "answer": "ab"[k % 2]}
        for i in range(6)
        for k in range(4)
    ]
    for seed in range(5):
        task = load_task(write_jsonl(pictures / "a.jsonl", *lines), seed=seed)
        train, test = (
            {s.id.split("#")[0] for s in part} for part in (task.train, task.test)
        )
        assert not train & test
        assert len(task.test) == 4


CAT = {"image": "0.png", "answer": "cat"}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "{image: 1}",
            r"a.jsonl, line 2: is not JSON \(.* at column 2\); write one object a line",
        ),
        ([1], "line 2: is list, not an object with the fields image and answer"),
        ({"answer": "cat"}, "line 2: image must be text, but is None"),
        ({"image": "1.png"}, "line 2: answer must be text, but is None"),
        ({**CAT, "answer": True}, "line 2: answer must be text, but is True"),
        (
            {**CAT, "candidates": "cat"},
            "line 2: candidates must be a list of texts, but is 'cat'",
        ),
        (
            {**CAT, "candidates": ["cat", "cat"]},
            "line 2: Sample '0.png#2' has the candidate 'cat' more than once",
        ),
        (
            {**CAT, "candidates": ["dog", "cow"]},
            (
                "line 2: Sample '0.png#2' has the answer 'cat', which is not among its candidates:"
                " 'dog', 'cow'"
            ),
        ),
        ({**CAT, "question": ""}, "line 2: Sample '0.png#2' has an empty question"),
        (
            {**CAT, "canditates": []},
            "line 2: unknown field 'canditates'; did you mean 'candidates'",
        ),
        ({**CAT, "split": "dev"}, "line 2: split is 'dev'; expected train or test"),
        ({**CAT, "split": "train"}, "line 1: states no split, but other samples do"),
        (
            {**CAT, "answers": []},
            "line 2: answers is empty; write what counts as right",
        ),
        (
            {**CAT, "answers": "cat"},
            "line 2: answers must be a list of texts, but is 'cat'",
        ),
        (
            {**CAT, "answers": [None]},
            "line 2: one of its answers must be text, but is None",
        ),
        (
            {**CAT, "answer": float("inf")},
            "line 2: answer must be text or a finite number",
        ),
        (
            '{"image": "0.png", "image": "1.png"}',
            "line 2: has the field 'image' more than once",
        ),
        ("[" * 100_000, "line 2: is nested too deep"),
        (
            '{"answer": 1' + "0" * 5000 + "}",
            r"line 2: Exceeds the limit .*; write it as text",
        ),
        (
            '{"image": "0.png", "answer": "\\ud800"}',
            "line 2: answer has characters that are no",
        ),
        (
            '"' + "x" * 2**20 + '"',
            "line 2: has more than 1048576 bytes; write one object a line",
        ),
    ],
)
def test_a_wrong_line_is_named(pictures: Path, line: object, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        load_task(
            write_jsonl(
                pictures / "a.jsonl", {**CAT, "candidates": ["cat", "dog"]}, line
            )
        )


def test_jsonl_as_a_whole(pictures: Path) -> None:
    with pytest.raises(TaskError, match="Task 'a' holds no pictures"):
        load_task(write_jsonl(pictures / "a.jsonl"))
    (pictures / "a.jsonl").write_bytes(b"\xff\xfe{")
    with pytest.raises(
        TaskError, match=r"a.jsonl is not UTF-8 text: line 1, .*invalid start byte"
    ):
        load_task(pictures / "a.jsonl")
    lines = [
        {**CAT, "answer": a, "split": p, "id": f"{a}{p}"}
        for a in ("cat", "dog")
        for p in ("train", "test")
    ]
    with pytest.raises(TaskError, match="2 samples of the id 'cattrain'"):
        load_task(write_jsonl(pictures / "a.jsonl", *lines, {**lines[0]}))
    missing = write_jsonl(
        pictures / "a.jsonl", *lines, {**CAT, "split": "train", "image": "gone.png"}
    )
    assert [s.id for s in load_task(missing).skipped] == ["gone.png#5"]


def test_several_answers_may_be_right(pictures: Path) -> None:
    lines = [
        {"image": "0.png", "question": "What?", "answers": ["tv", "television", "tv"]},
        {
            "image": "1.png",
            "question": "What?",
            "answer": "cup",
            "answers": ["mug", "cup"],
        },
        {"image": "2.png", "question": "What?", "answers": ["sofa"], "candidates": []},
    ]
    split = [
        {**line, "split": part} for line, part in zip(lines, ("train", "test", "test"))
    ]
    task = load_task(write_jsonl(pictures / "a.jsonl", *split))
    tv, cup, sofa = (*task.train, *task.test)
    assert tv.answer == "tv"
    assert tv.accepted == ("television",)
    assert tv.candidates == ("cup", "tv")
    assert cup.right == ("cup", "mug")
    assert cup.labels == (0,)
    assert sofa.right == ("sofa",)
    assert sofa.candidates == ()


# Packed
# ------------------------------------------------------------------------------------------------


def test_packed_train_and_test(tmp_path: Path) -> None:
    pack(
        tmp_path / "train.npz", [0, 1, 1], ["goldfish, Carassius auratus", "sea_horse"]
    )
    pack(tmp_path / "val.npz", [1, 0], ["goldfish, Carassius auratus", "sea_horse"])
    task = load_task(tmp_path)
    assert [s.answer for s in task.train] == ["goldfish", "sea horse", "sea horse"]
    assert task.test[0].id == "test/sea_horse/0.png"
    assert task.test[1].candidates == ("goldfish", "sea horse")
    assert [s.load().size for s in task.train] == [(1, 1), (2, 2), (3, 3)]


def test_packed_questions(tmp_path: Path) -> None:
    asked = {
        "question": ["How many?", "Any?", "Any?", "How many?"],
        "answer": ["2", "yes", "no", "10"],
        "question_image": [0, 0, 1, 1],
    }
    pack(tmp_path / "a.npz", [0, 1], ["0", "1"], **asked)
    task = load_task(tmp_path / "a.npz")
    by_answer = {s.answer: s for s in (*task.train, *task.test)}
    assert by_answer["10"].candidates == ("2", "10")
    assert by_answer["yes"].candidates == ("no", "yes")
    assert by_answer["10"].load().size == (2, 2)
    assert not task.mirror
    assert len({s.id.split("#")[0] for s in task.test}) == 1


def repack(path: Path, **changed: object) -> Path:
    """Two pictures of two classes, some arrays changed, or left out where None."""
    pack(path, [0, 1], ["a", "b"])
    with np.load(path) as arrays:
        found = dict(arrays) | changed
    np.savez(path, **{key: value for key, value in found.items() if value is not None})
    return path


ASKED = {"question": ["?", "?"], "answer": ["a", "b"], "question_image": [0, 1]}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"offsets": None},
            "it has no array 'offsets', only classes, data, labels, names",
        ),
        ({"names": ["only one"]}, "its arrays disagree: 2 labels, 1 names, 3 offsets"),
        (
            {**ASKED, "question_image": [0, 2]},
            "question 1: asks about picture 2, but there are 2",
        ),
        (
            {**ASKED, "question_image": [0]},
            "question_image must all be there, of one length",
        ),
        ({"question": ["?"]}, "question_image must all be there, of one length"),
        ({"labels": [0, -1]}, "picture 1: label -1 names none of the 2 classes"),
        (
            {"labels": [[0, 1], [0, 1]]},
            r"its array 'labels' has the shape \(2, 2\), one dimension",
        ),
        (
            {"labels": 3},
            r"its array 'labels' has the shape \(\), one dimension is expected",
        ),
        (
            {"labels": [0.0, 1.0]},
            "its array 'labels' is of the type float64, which it cannot be",
        ),
        ({"names": np.array([{}, {}])}, "its array 'names' is of the type object"),
        (
            {"data": np.zeros(9)},
            "its array 'data' is of the type float64, which it cannot be",
        ),
        (
            {"offsets": [0, 5, 3]},
            "its offsets do not rise from 0 to the .* bytes of its data",
        ),
        ({"offsets": [-9, 0, 3]}, "its offsets do not rise from 0"),
        (
            {"offsets": np.array([0, 1, 2**63], np.uint64)},
            "its offsets do not rise from 0",
        ),
        ({"classes": ["a", chr(0xD800)]}, "class has characters that are no text"),
    ],
)
def test_packed_files_that_are_wrong(
    tmp_path: Path, changed: dict, sentence: str
) -> None:
    with pytest.raises(TaskError, match=sentence):
        load_task(repack(tmp_path / "a.npz", **changed))


def test_packed_names_that_are_numbers_are_taken_as_text(tmp_path: Path) -> None:
    task = load_task(repack(tmp_path / "a.npz", names=[7, 8], classes=[0, 1]))
    assert sorted(ids(task)) == ["7", "8"]
    assert task.test[0].candidates == ("0", "1")


def test_a_packed_file_that_is_none(tmp_path: Path) -> None:
    file = repack(tmp_path / "a.npz")
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(
        TaskError, match=r"a.npz cannot be read as a packed picture set: File is"
    ):
        load_task(file)
    with file.open("wb") as handle:
        np.save(handle, np.zeros(3))
    with pytest.raises(
        TaskError, match=r"a.npz cannot be read as a packed picture set: File is"
    ):
        load_task(file)


def test_a_packed_file_that_claims_more_than_it_holds_is_refused_unread(
    tmp_path: Path,
) -> None:
    file = repack(tmp_path / "a.npz")
    header = io.BytesIO()
    claims = {"descr": "|u1", "fortran_order": False, "shape": (20 * 2**30,)}
    np.lib.format.write_array_header_1_0(header, claims)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, header.getvalue() if name == "data.npy" else content)
    with pytest.raises(
        TaskError, match="its array 'data' claims 21474836480 entries, more than"
    ):
        load_task(file)


def test_a_packed_file_that_unpacks_to_far_more_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matboard.tasks.readers.npz.MOST_BYTES", 2**20)
    file = repack(tmp_path / "a.npz")
    with np.load(file) as arrays:
        np.savez_compressed(file, **dict(arrays) | {"data": np.zeros(2**21, np.uint8)})
    with pytest.raises(
        TaskError, match=r"unpacked it would have 209.* bytes, at most 1048576 are"
    ):
        load_task(file)


def test_class_names_keep_their_synonyms_only_where_they_must() -> None:
    assert clean_class_names(
        ["tench, Tinca tinca", "crane, bird", "crane, machine", "sea_horse"]
    ) == [
        "tench",
        "crane, bird",
        "crane, machine",
        "sea horse",
    ]


def table(path: Path, **columns: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_with_bytes_paths_and_stored_class_names(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png(size=9))
    written = pa.table(
        {
            "image": [
                {"bytes": png(size=4), "path": "a.png"},
                {"bytes": None, "path": "b.png"},
            ],
            "label": [1, 0],
        }
    )
    features = {
        "info": {
            "features": {
                "label": {"names": ["sea_horse", "cat"], "_type": "ClassLabel"}
            }
        }
    }
    for part in ("train", "test"):
        pq.write_table(
            written.replace_schema_metadata({"huggingface": json.dumps(features)}),
            tmp_path / f"{part}-00000-of-00001.parquet",
        )
    task = load_task(tmp_path)
    assert [(s.answer, s.candidates, s.load().size) for s in task.test] == [
        ("cat", ("sea horse", "cat"), (4, 4)),
        ("sea horse", ("sea horse", "cat"), (9, 9)),
    ]


def test_parquet_knows_in_which_file_each_picture_lies(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png(size=9))
    both = [{"bytes": png(), "path": "a.png"}, {"bytes": None, "path": "b.png"}]
    more = {"answer": ["yes", "no"], "split": ["train", "test"]}
    task = load_task(table(tmp_path / "a.parquet", image=both, **more))
    assert task.train[0].file == tmp_path / "a.parquet"
    assert task.test[0].file == tmp_path / "b.png"
    named = load_task(table(tmp_path / "a.parquet", image=["b.png", "b.png"], **more))
    assert {s.file for s in (*named.train, *named.test)} == {tmp_path / "b.png"}


def test_parquet_with_questions(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.parquet",
        img=[png(), png()],
        question=["Is it?"] * 2,
        answer=["yes", "no"],
        split=["train", "test"],
    )
    task = load_task(path)
    assert task.train[0].question == "Is it?"
    assert task.test[0].answer == "no"
    assert task.test[0].candidates == ("no", "yes")


def test_parquet_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        TaskError,
        match="has no picture column: expected image or img, found photo, label",
    ):
        load_task(table(tmp_path / "a.parquet", photo=[png()], label=[0]))
    with pytest.raises(
        TaskError,
        match=r"row 0: label 0 has no name \(0 class names are known\); write an answer column",
    ):
        load_task(table(tmp_path / "a.parquet", image=[png()], label=[0]))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(TaskError, match=r"a.parquet cannot be read as parquet"):
        load_task(tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        Exception,
        match=r"This needs pyarrow, which is not installed; run: pip install 'matboard\[data\]'",
    ):
        load_task(tmp_path / "a.parquet")


# Named data sets
# ------------------------------------------------------------------------------------------------

CIFAR10 = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]


def test_named_sets_from_packed_files(tmp_path: Path) -> None:
    pack(tmp_path / "cifar10_train.npz", [3, 4], CIFAR10)
    pack(tmp_path / "cifar10_test.npz", [5], CIFAR10)
    pack(tmp_path / "cifar100_train_a.npz", [0], ["aquarium_fish"])
    pack(tmp_path / "cifar100_train_b.npz", [0], ["maple_tree"])
    pack(tmp_path / "cifar100_test.npz", [0], ["worm"])
    task = load_task("cifar10", data_dir=tmp_path)
    assert [s.answer for s in task.train] == ["cat", "deer"]
    assert task.test[0].candidates == tuple(CIFAR10)
    assert task.name == "cifar10"
    assert task.mirror
    assert task.test[0].caption == "this is a photo of a dog"
    hundred = load_task("cifar100", data_dir=tmp_path)
    assert [s.answer for s in hundred.train] == ["aquarium fish", "maple tree"]
    assert len(hundred.test[0].candidates) == 100
    assert hundred.test[0].label == 99


@pytest.mark.parametrize("place", ["imagenette", "."])
def test_named_sets_from_class_folders(tmp_path: Path, place: str) -> None:
    put(tmp_path / place / "train", {"n01440764": 2, "n02102040": 1})
    put(tmp_path / place / "val", {"n01440764": 1, "n03888257": 1})
    task = load_task("imagenette", data_dir=tmp_path)
    assert [s.answer for s in task.train] == ["tench", "tench", "English springer"]
    assert task.test[1].answer == "parachute"
    assert task.test[1].label == 9
    assert len(task.test[1].candidates) == 10
    with pytest.raises(TaskError, match=r"cifar10.*could not be had from the Hub"):
        load_task("cifar10", data_dir=tmp_path)


def test_named_sets_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the Hub's cache, laid out as a download leaves it."""
    cache = tmp_path / "datasets--uoft-cs--cifar100"
    for part, label in (("train", 0), ("test", 99)):
        image = [{"bytes": png(), "path": None}]
        table(
            cache / f"snapshots/abc/cifar100/{part}/0000.parquet",
            img=image,
            fine_label=[label],
            coarse_label=[1],
        )
    reference = cache / "refs/refs/convert/parquet"
    reference.parent.mkdir(parents=True)
    reference.write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    task = load_task("cifar100")
    assert task.train[0].answer == "apple"
    assert task.test[0].answer == "worm"
    assert task.test[0].load().size == (6, 6)


def test_a_named_set_that_is_nowhere_says_where_it_was_sought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        TaskError,
        match=(
            r"as uoft-cs/cifar10 \(it is not in the local cache, and HF_HUB_OFFLINE forbids to ask"
            r" the Hub\)"
        ),
    ):
        load_task("cifar10")
    with pytest.raises(
        TaskError,
        match=r"and no data folder was given. Pass data_dir, or set MATBOARD_DATA",
    ):
        load_task("cifar10")
    with pytest.raises(
        TaskError,
        match=r"they are not in .*cifar10_train.npz and cifar10_test.npz, or with cifar10/train/",
    ):
        load_task("cifar10", data_dir=tmp_path)
    with pytest.raises(TaskError, match=r"The data folder .*none does not exist"):
        load_task("cifar10", data_dir=tmp_path / "none")
