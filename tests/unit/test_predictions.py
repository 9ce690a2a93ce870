"""Files of predictions: read in either form, refused in a sentence, and what they are made from."""

import json

import numpy as np
import pytest
from PIL import Image

from matboard.errors import PredictionsError
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.results import read
from matboard.studies.choose.candidates import load_candidates
from matboard.studies.choose.choice import Asked
from matboard.studies.choose.stored import choose_stored, write_out
from matboard.studies.predictions import read_predictions
from matboard.tasks.task import Sample, Task


def rows(right):
    return [
        {"id": id, "prompt": name, "right": str(int(value))}
        for name, own in right.items()
        for id, value in own.items()
    ]


def csv_file(folder, rows, name="said.csv"):
    path = folder / name
    columns = list(rows[0])
    lines = [",".join(columns), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def jsonl_file(folder, rows, name="said.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


RIGHT = {"none": {"1": True, "2": False}, "a": {"2": True, "1": True}}


def test_both_forms_and_several_files_say_the_same(tmp_path):
    table = csv_file(tmp_path, rows(RIGHT))
    lines = jsonl_file(tmp_path, [row | {"note": 1} for row in rows(RIGHT)])
    halves = [
        jsonl_file(
            tmp_path, [row for row in rows(RIGHT) if row["prompt"] == name], name
        )
        for name in RIGHT
    ]
    for files in ([table], [lines], halves):
        found = read_predictions(files, None, None)
        assert found.right == RIGHT
        assert found.names == ["a"] and found.ids == ["1", "2"]


def two_samples():
    def load():
        return Image.new("RGB", (8, 8))

    cat = Sample("1", load, "what?", "cat", ("cat", "dog"))
    open_answer = Sample("2", load, "what?", "a red house")
    return Task("t", (Sample("0", load, "what?", "cat"),), (cat, open_answer))


def test_answers_are_read_as_generated_ones_are(tmp_path):
    said = {"none": ("It is a dog.", ""), "a": ("A cat, not a dog", "a red house!")}
    lines = [
        {"id": str(place), "prompt": name, "answer": answer}
        for name, answers in said.items()
        for place, answer in enumerate(answers, start=1)
    ]
    found = read_predictions([jsonl_file(tmp_path, lines)], two_samples(), ["a"])
    assert found.right == {
        "none": {"1": False, "2": False},
        "a": {"1": True, "2": True},
    }


GOOD = rows(RIGHT)
FORM = (
    "; expected CSV with a header, or one JSON object a line, with id, prompt, and right or"
    " answer."
)
BAD = {
    "no id": (
        [{"id": " ", "prompt": "a", "right": "1"}],
        " line 2 has no id; every row needs one.",
    ),
    "no prompt": (
        [{"id": "1", "right": "1"}],
        f"said.csv holds no predictions (its header is 'id, right'){FORM}",
    ),
    "twice": (
        [*GOOD, GOOD[0]],
        "Picture '1' stands with the prompt 'none' twice, in said.csv, line 2 and said.csv, line 6;"
        " keep one row.",
    ),
    "unknown prompt": (
        [*GOOD, {"id": "1", "prompt": "b", "right": "1"}],
        "said.csv, line 6 names the prompt 'b', which is not among those given: none, a.",
    ),
    "no none": (
        [row for row in GOOD if row["prompt"] == "a"],
        "There are no rows of the prompt 'none', the pictures without any prompt; prompts are"
        " compared with it.",
    ),
    "a prompt is missing": (
        [row for row in GOOD if row["prompt"] == "none"],
        "There are no rows of the prompt 'a'; every prompt must be judged.",
    ),
    "fewer pictures": (
        GOOD[:-1],
        "Picture '1' stands with the prompt 'none', but not with 'a'; every prompt must be judged"
        " on the same pictures.",
    ),
    "more pictures": (
        [*GOOD, {"id": "3", "prompt": "a", "right": "1"}],
        "Picture '3' stands with the prompt 'a', but not with 'none'; every prompt must be judged"
        " on the same pictures.",
    ),
    "neither": (
        [{"id": "1", "prompt": "a", "right": ""}],
        "said.csv, line 2 has neither right (1 or 0) nor an answer; every row needs one of them.",
    ),
    "half right": (
        [{"id": "1", "prompt": "a", "right": "0.5"}],
        "said.csv, line 2 has right = '0.5'; expected 1 or 0.",
    ),
    "nothing to compare with": (
        [{"id": "1", "prompt": "a", "answer": "cat"}],
        "said.csv, line 2 holds an answer, but nothing says what would be right; name the task, or"
        " write right (1 or 0).",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_rows_are_refused_in_a_sentence(tmp_path, what):
    lines, sentence = BAD[what]
    with pytest.raises(PredictionsError) as error:
        read_predictions([csv_file(tmp_path, lines)], None, ["a"])
    assert str(error.value).endswith(sentence)


def test_a_picture_that_the_task_lacks_is_named(tmp_path):
    file = jsonl_file(tmp_path, [{"id": "9", "prompt": "none", "answer": "cat"}])
    with pytest.raises(PredictionsError) as error:
        read_predictions([file], two_samples(), None)
    assert str(error.value) == (
        "said.jsonl, line 1 names the picture '9', which the task does not have."
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"{", "holds no predictions (Expecting property name"),
        (b'{"id": 1}\n[2]', "line 1 has no prompt"),
        (b'{"a": ' * 100_000, "holds no predictions ("),
        (b'id,prompt,right\n"a,1,1', "holds no predictions (unexpected end of data)"),
        (b"", "holds no predictions (its header is '')"),
        (None, "cannot be read: no such file or directory."),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, content, words):
    file = tmp_path / "other"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PredictionsError) as error:
        read_predictions([file], None, None)
    assert words in str(error.value)


def prompt(value):
    canvas = Canvas(16, 4)
    values = np.where(canvas.mask(), np.float32(value), np.float32(0))
    return VisualPrompt(canvas, values[None].repeat(3, 0))


def test_pictures_for_a_models_owner_and_back(tmp_path):
    """The manifest with answers in it is a file of predictions; the winner is copied."""
    bright = tmp_path / "bright"
    prompt(1.0).save_pretrained(bright)
    data = tmp_path / "data"
    for part in ("train", "test"):
        for name, level in (("dark", 0), ("light", 255)):
            folder = data / part / name
            folder.mkdir(parents=True)
            for number in range(12):
                grey = (level, number, number)
                Image.new("RGB", (20, 20), grey).save(folder / f"{number}.png")
    out = tmp_path / "out"
    for _ in write_out([str(bright)], str(data), out, Asked(pictures=20)):
        pass
    lines = [json.loads(line) for line in (out / "manifest.jsonl").open()]
    assert len(lines) == 20 * 3
    assert {line["prompt"] for line in lines} == {"none", "shrunk", "bright"}
    assert sorted(lines[0]) == ["candidates", "id", "picture", "prompt", "question"]
    sizes = {}
    for line in lines:
        picture = Image.open(out / line["picture"])
        sizes[line["prompt"]] = picture.size
        corner = picture.getpixel((0, 0))
        answer = line["id"].split("/")[1] if corner == (255, 255, 255) else "dark"
        line["answer"] = answer
    assert sizes == {"none": (20, 20), "shrunk": (16, 16), "bright": (16, 16)}
    said = jsonl_file(tmp_path, lines)
    run = tmp_path / "run"
    for _ in choose_stored([said], run, prompts=[str(bright)], task=str(data)):
        pass
    results = read(run)
    assert results.winner == "bright" and results.prompt == "prompt"
    assert (run / "prompt/prompt_config.json").exists()
    assert results.candidates[0].losses == 0
    assert results.calls_of_all == 60


def test_without_the_prompts_only_their_names_are_told(tmp_path):
    none = {str(number): number % 3 == 0 for number in range(60)}
    all_right = dict.fromkeys(none, True)
    file = csv_file(tmp_path, rows({"none": none, "a": all_right, "b": none}))
    run = tmp_path / "run"
    for _ in choose_stored([file], run):
        pass
    results = read(run)
    assert results.winner == "a" and results.prompt is None
    assert [one.name for one in results.candidates] == ["a", "b"]
    for event in choose_stored([file], run):
        assert event.detail == "found"


def test_names_are_the_shortest_that_differ(tmp_path):
    for place, value in (
        ("x/prompt", 0.1),
        ("y/prompts/s0", 0.2),
        ("y/prompts/s1", 0.3),
    ):
        prompt(value).save_pretrained(tmp_path / place)
    prompt(0.1).save_pretrained(tmp_path / "y/prompt")
    found = load_candidates([str(tmp_path / "x"), str(tmp_path / "y")])
    assert found.names == ["shrunk", "x", "s0", "s1"]
    again = load_candidates([str(tmp_path / "x"), str(tmp_path / "y/prompt")])
    assert again.names == ["shrunk", "x"]
    assert again.notes == ("y does the same as x and is taken once.",)
