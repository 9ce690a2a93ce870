"""Public data sets by name, from small folders laid out as their authors' archives unpack, and from
small tables laid out as the Hub keeps them.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matboard.errors import TaskError
from matboard.tasks import TASKS, load_task
from matboard.tasks.corruptions import KINDS
from matboard.tasks.datasets import clevr_count, hateful_memes
from matboard.tasks.datasets.aircraft import AIRCRAFT
from matboard.tasks.datasets.cifar10 import CIFAR10
from matboard.tasks.datasets.cifar100 import CIFAR100
from matboard.tasks.datasets.food101 import FOOD101
from matboard.tasks.datasets.image_classes import _plain
from matboard.tasks.datasets.imagenette import IMAGENETTE
from matboard.tasks.datasets.pets import PETS
from matboard.tasks.datasets.svhn import SVHN
from matboard.tasks.readers import json_array, svhn_mat
from matboard.tasks.readers.json_array import json_items
from tests.unit import datasets_on_disk as disk


def colour(sample, place: tuple[int, int] = (1, 1)) -> tuple[int, ...]:
    return sample.load().getpixel(place)


def test_cifar10_from_its_authors_pickles(tmp_path: Path) -> None:
    disk.cifar10(tmp_path)
    task = load_task("cifar10", data_dir=tmp_path)
    assert [s.answer for s in task.train[:4]] == [
        "automobile",
        "airplane",
        "bird",
        "airplane",
    ]
    assert task.test[0].answer == "truck"
    assert colour(task.train[0]) == (1, 20, 30)
    assert colour(task.train[0], (0, 0)) == (0, 0, 0)
    assert task.train[0].id == "train/data_batch_1#0"
    assert task.train[0].file == tmp_path / "cifar-10-batches-py/data_batch_1"
    assert task.mirror
    assert (
        "cifar10 has 10 training and 1 test samples, the published set has 50000 and 10000:"
        " figures do not compare with those on the whole set."
    ) in task.notes
    assert any(
        note.startswith(
            "cifar10: 9 of 10 classes have no test picture: airplane, automo"
        )
        for note in task.notes
    )


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    root = tmp_path / "cifar100/cifar-100-python"
    names = ["apple", "aquarium_fish"]
    disk.Python2Pickle.dump(
        root / "meta", {"fine_label_names": names, "coarse_label_names": ["fish"]}
    )
    for part, label in (("train", 1), ("test", 0)):
        disk.Python2Pickle.dump(
            root / part,
            {
                "fine_labels": [label],
                "coarse_labels": [0],
                "data": disk.rows((7, 8, 9)),
            },
        )
    task = load_task("cifar100", data_dir=tmp_path)
    assert [s.answer for s in (*task.train, *task.test)] == ["aquarium fish", "apple"]
    assert len(task.test[0].candidates) == 100


def test_pickles_that_python_3_wrote_are_read_too(tmp_path: Path) -> None:
    root = disk.cifar10(tmp_path)
    for protocol in (2, 4):
        content = {"labels": [3], "data": disk.rows((9, 9, 9))}
        (root / "test_batch").write_bytes(pickle.dumps(content, protocol=protocol))
        assert load_task("cifar10", data_dir=tmp_path).test[0].answer == "cat"


class Runs:
    """A pickle of this would run something."""

    def __reduce__(self):
        return print, ("this was run",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            pickle.dumps({"labels": Runs()}),
            r"it asks for builtins.print, which is not run: it may do anything",
        ),
        (
            pickle.dumps({"data": np.zeros((1, 3072), np.float32)}, protocol=2),
            "it holds an array of something else than bytes",
        ),
        (
            pickle.dumps({"data": np.array([[print]], object)}, protocol=2),
            "which is not run",
        ),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "it counts to 2147483647 in 9 bytes"),
        (pickle.dumps([1]), "it holds a list, not a dictionary"),
        (b"no pickle", "test_batch is no pickled part of a data set"),
        (b"", "test_batch is no pickled part of a data set"),
        (
            pickle.dumps({"labels": [1, 2], "data": disk.rows((0, 0, 0))}, protocol=2),
            r"data of the shape \(1, 3072\) for 2 labels; expected \(2, 3072\)",
        ),
        (
            pickle.dumps({"labels": [10], "data": disk.rows((0, 0, 0))}, protocol=2),
            "test_batch, picture 0: label 10 names none of the 10 classes",
        ),
        (pickle.dumps({"labels": [1]}), "test_batch has no data and labels"),
    ],
)
def test_a_pickle_that_is_wrong_or_would_run_something_is_refused(
    tmp_path: Path, content: bytes, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (disk.cifar10(tmp_path) / "test_batch").write_bytes(content)
    with pytest.raises(TaskError, match=sentence):
        load_task("cifar10", data_dir=tmp_path)
    assert "this was run" not in capsys.readouterr().out


def test_svhn(tmp_path: Path) -> None:
    disk.svhn(tmp_path)
    task = load_task("svhn", data_dir=tmp_path)
    assert [s.answer for s in task.train] == ["1", "0", "9"]
    assert task.test[0].candidates == tuple("0123456789")
    assert task.test[0].question == "This is a photo of the number"
    assert task.test[0].caption == "this is a photo of the number 2"
    assert [colour(task.train[1], place) for place in ((5, 0), (0, 5))] == [
        (10, 0, 0),
        (0, 0, 0),
    ]
    assert not task.mirror


def test_svhn_files_that_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scipy.io import savemat

    root = disk.svhn(tmp_path)
    path = root / "test_32x32.mat"
    savemat(path, {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [11]])})
    with pytest.raises(TaskError, match="picture 1: label 11 is none of 1 to 10"):
        load_task("svhn", data_dir=tmp_path)
    savemat(path, {"X": np.zeros((8, 32, 3, 2), np.uint8), "y": np.array([[1], [1]])})
    with pytest.raises(
        TaskError, match=r"is not a file of SVHN's cropped digits: it hol"
    ):
        load_task("svhn", data_dir=tmp_path)
    many = {"X": np.zeros((32, 32, 3, 90), np.uint8), "y": np.ones((90, 1))}
    savemat(path, many, do_compression=True)
    with monkeypatch.context() as few:
        few.setattr(svhn_mat, "MOST_BYTES", 1000)
        few.setattr(svhn_mat, "MOST_TIMES", 40)
        with pytest.raises(
            TaskError, match=r"test_32x32.mat is not a file of SVHN's crop"
        ):
            load_task("svhn", data_dir=tmp_path)
    path.write_bytes(b"\0" * 200)
    with pytest.raises(TaskError, match="is not a file of SVHN's cropped digits"):
        load_task("svhn", data_dir=tmp_path)
    path.unlink()
    with pytest.raises(TaskError, match=r"svhn has no test_32x32.mat; SVHN's authors"):
        load_task("svhn", data_dir=tmp_path)


def test_pets_and_a_picture_that_its_list_names_in_vain(tmp_path: Path) -> None:
    root = disk.pets(tmp_path)
    task = load_task("pets", data_dir=tmp_path)
    assert [s.answer for s in task.train] == ["Abyssinian", "American Bulldog"]
    assert task.test[0].answer == "Yorkshire Terrier"
    assert task.test[0].caption == "this is a photo of a Yorkshire Terrier"
    assert [skip.id for skip in task.skipped] == ["train/american_bulldog_101.jpg"]
    assert any(
        note.startswith(
            "Skipped 1 of the 4 files looked at: train/american_bulldog_101"
        )
        for note in task.notes
    )
    (root / "images/yorkshire_terrier_1.jpg").write_bytes(b"no picture")
    with pytest.raises(TaskError, match="None of the 1 test pictures of task 'pets'"):
        load_task("pets", data_dir=tmp_path)
    disk.text(root / "annotations/test.txt", "a line of another form")
    with pytest.raises(
        TaskError, match=r"test.txt, line 1: expected picture, class, species and breed"
    ):
        load_task("pets", data_dir=tmp_path)
    (root / "annotations/test.txt").unlink()
    with pytest.raises(
        TaskError, match=r"annotations has no test.txt, which its authors"
    ):
        load_task("pets", data_dir=tmp_path)


def test_aircraft_and_food(tmp_path: Path) -> None:
    disk.aircraft(tmp_path)
    disk.food101(tmp_path)
    planes = load_task("aircraft", data_dir=tmp_path)
    assert [s.answer for s in planes.train] == ["707-320", "F-16A/B"]
    assert planes.test[0].answer == "Cessna 172"
    food = load_task("food101", data_dir=tmp_path)
    assert [s.answer for s in food.train] == ["apple pie", "waffles"]
    assert food.test[0].id == "test/apple_pie/1011328.jpg"


def test_a_folder_of_the_tasks_name_does_too(tmp_path: Path) -> None:
    disk.food101(tmp_path).rename(tmp_path / "food101")
    assert load_task("food101", data_dir=tmp_path).test[0].answer == "apple pie"
    assert load_task("food101", data_dir=tmp_path / "food101").test[0].label == 0


@pytest.mark.parametrize("classes", [PETS.classes, AIRCRAFT.classes, FOOD101.classes])
def test_class_names_stay_apart_however_they_are_spelt(
    classes: tuple[str, ...],
) -> None:
    assert len({_plain(name) for name in classes}) == len(classes)


def test_there_are_as_many_classes_as_published() -> None:
    counts = [len(s.classes) for s in (PETS, AIRCRAFT, FOOD101)]
    assert counts == [37, 100, 101]


def test_imagenette_as_its_archive_unpacks(tmp_path: Path) -> None:
    for name in ("train/n01440764/a", "train/n03888257/b", "val/n01440764/c"):
        disk.save(tmp_path / f"imagenette2-320/{name}.JPEG".replace("JPEG", "jpeg"))
    task = load_task("imagenette", data_dir=tmp_path)
    assert [s.answer for s in task.train] == ["tench", "parachute"]
    assert task.test[0].id == "val/n01440764/c.jpeg"


def test_class_folders_that_are_none_of_the_classes_are_named(tmp_path: Path) -> None:
    for part in ("train", "test"):
        disk.save(tmp_path / f"cifar10/{part}/cat/a.png")
        disk.save(tmp_path / f"cifar10/{part}/cow/a.png")
    with pytest.raises(
        TaskError,
        match=r"cifar10 has class folders that are none of the 10 classes.*: cow",
    ):
        load_task("cifar10", data_dir=tmp_path)


def test_clevr_counts_objects(tmp_path: Path) -> None:
    root = disk.clevr(tmp_path)
    task = load_task("clevr-count", data_dir=tmp_path)
    assert [s.answer for s in task.train] == ["3", "10", "5"]
    assert task.test[0].candidates == ("3", "4", "5", "6", "7", "8", "9", "10")
    assert task.test[0].question.startswith(
        "How many objects are there in this image? A"
    )
    assert task.mirror
    (root / "images/val/CLEVR_val_000001.png").unlink()
    fewer = load_task("clevr-count", data_dir=tmp_path)
    assert [skip.id for skip in fewer.skipped] == ["test/CLEVR_val_000001.png"]
    (root / "scenes/CLEVR_val_scenes.json").write_text('{"scenes": [{"objects": []}]}')
    with pytest.raises(
        TaskError, match="scene 0: image_filename must be text, but is None"
    ):
        load_task("clevr-count", data_dir=tmp_path)


@pytest.mark.parametrize("dev", ["dev_seen.jsonl", "dev.jsonl"])
def test_hateful_memes_are_judged_by_their_likelihoods(
    tmp_path: Path, dev: str
) -> None:
    disk.hateful_memes(tmp_path, dev)
    task = load_task("hateful-memes", data_dir=tmp_path)
    assert task.metric == "auc"
    assert not task.mirror
    one = task.test[0]
    assert (one.answer, one.candidates) == ("yes", ("no", "yes"))
    assert one.question == (
        'This is an image with: "white people" written on it. Is it hateful?'
    )
    assert one.id == "test/8291"


def test_hateful_memes_without_labels_are_refused(tmp_path: Path) -> None:
    root = disk.hateful_memes(tmp_path)
    disk.jsonl(root / "dev_seen.jsonl", {"id": 1, "img": "img/08291.png", "text": "a"})
    with pytest.raises(TaskError, match="line 1: label must be 0 or 1, but is None"):
        load_task("hateful-memes", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["pope", "pope/adversarial"])
def test_pope_judges_the_first_half_of_the_pictures(tmp_path: Path, name: str) -> None:
    disk.pope(tmp_path)
    task = load_task(name, data_dir=tmp_path)
    assert (task.name, task.metric, task.also) == (name, "f1", ("accuracy", "yes-rate"))
    assert len(task.test), len(task.train) == (6, 3)
    assert {s.file.stem[-1] for s in task.test} == {"a", "b"}
    assert [s.label for s in task.test[:3]] == [1, 0, 1]
    assert task.test[1].question == "Is there an orange in the image?"
    assert task.test[1].caption == "this is a photo of dog, cat"
    assert any(
        note.startswith("POPE has no training part: judged") for note in task.notes
    )


def test_pope_learns_from_training_questions_where_they_are(tmp_path: Path) -> None:
    root = disk.pope(tmp_path, "random")
    disk.save(root / "train2014/COCO_train2014_d.jpg")
    disk.jsonl(
        root / "train/coco_train_pope_random.json",
        {
            "image": "COCO_train2014_d.jpg",
            "text": "Is there an umbrella in the imange?",
            "label": "no",
            "objects": ["person", "bench"],
        },
    )
    task = load_task("pope/random", data_dir=tmp_path)
    assert len(task.test) == 9
    assert task.train[0].caption == "this is a photo of person, bench"
    with pytest.raises(
        TaskError, match=r"'pope/popular' could not be had.*coco_pope_popula"
    ):
        load_task("pope/popular", data_dir=tmp_path)


def test_pope_skips_questions_about_pictures_that_are_not_there(tmp_path: Path) -> None:
    root = disk.pope(tmp_path)
    (root / "val2014/COCO_val2014_a.jpg").unlink()
    task = load_task("pope", data_dir=tmp_path)
    assert len(task.skipped) == 3
    assert task.skipped[0].reason == "there is no picture COCO_val2014_a.jpg."
    for left in (root / "val2014").iterdir():
        left.unlink()
    with pytest.raises(TaskError, match="expected COCO's val2014 in"):
        load_task("pope", data_dir=tmp_path)


def hub_table(cache: Path, repo: str, files: dict[str, dict]) -> None:
    """Laid out as a download leaves it."""
    root = cache / f"datasets--{repo.replace('/', '--')}"
    for name, columns in files.items():
        path = root / f"snapshots/abc/{name}/0000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns), path)
    reference = root / "refs/refs/convert/parquet"
    reference.parent.mkdir(parents=True)
    reference.write_text("abc")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def pictures(count: int) -> list[dict]:
    return [{"bytes": disk.png(), "path": None}] * count


@pytest.mark.parametrize(
    ("name", "repo", "parts", "image", "label", "numbers", "answers"),
    [
        ("svhn", "ufldl-stanford/svhn", ["cropped_digits/train", "cropped_digits/test"],
         "image", "label", [0, 9], ["0", "9"]),
        ("pets", "timm/oxford-iiit-pet", ["default/train", "default/test"],
         "image", "label", [0, 36], ["Abyssinian", "Yorkshire Terrier"]),
        ("food101", "ethz/food101", ["default/train", "default/validation"],
         "image", "label", [0, 100], ["apple pie", "waffles"]),
        ("aircraft", "HuggingFaceM4/FGVC-Aircraft",
         ["default/train", "default/validation", "default/test"],
         "image", "variant", [0, 99], ["707-320", "Yak-42"]),
        ("clevr-count", "clip-benchmark/wds_vtab-clevr_count_all",
         ["default/partial-train", "default/test"], "webp", "cls", [0, 7], ["3", "10"]),
    ],
)  # fmt: skip
def test_sets_from_the_hub(
    cache: Path, name, repo, parts, image, label, numbers, answers
) -> None:
    """The tables are ours, in the place and form that the Hub's pages show."""
    columns = {image: pictures(2), label: numbers}
    hub_table(cache, repo, dict.fromkeys(parts, columns))
    task = load_task(name)
    assert [s.answer for s in task.test] == answers
    assert len(task.train) == 2 * (len(parts) - 1)


def test_pope_from_the_hub(cache: Path) -> None:
    asked = {
        "id": ["0", "1", "2", "3"],
        "question": ["Is there a dog in the image?", "Is there a cat in the image?"]
        * 2,
        "answer": ["yes", "no", "yes", "no"],
        "image_source": ["one", "one", "two", "two"],
        "image": pictures(4),
    }
    hub_table(cache, "lmms-lab/POPE", {"Full/popular": asked})
    task = load_task("pope/popular")
    assert [len(task.train), len(task.test)] == [2, 2]
    assert task.test[0].caption == "this is a photo of dog"


def test_hateful_memes_from_the_hub(cache: Path) -> None:
    root = cache / "datasets--neuralcatcher--hateful_memes"
    made = disk.hateful_memes(cache / "made")
    (root / "snapshots").mkdir(parents=True)
    made.rename(root / "snapshots/abc")
    (root / "refs").mkdir()
    (root / "refs/main").write_text("abc")
    assert load_task("hateful-memes").test[0].answer == "yes"


def test_a_list_of_objects_is_read_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    things = [{"number": n, "text": "}, ] {" * n, "list": [n, [n]]} for n in range(30)]
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"info": ["scenes"], "scenes": things, "end": [1]}, indent=1)
    )
    alone = tmp_path / "b.json"
    alone.write_text(json.dumps(things))
    for block in (7, 64, 2**20):
        monkeypatch.setattr(json_array, "BLOCK", block)
        assert list(json_items(path, "scenes")) == things
        assert list(json_items(alone)) == things


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{}", "there is no list of objects in it"),
        ('{"scenes": [1]}', "a int stands among its objects"),
        ('{"scenes": [{}', "it ends before its list does"),
        ('{"scenes": [{} {}]}', "two objects have no comma between them"),
        ('{"scenes": [{"a": }]}', r"an object is broken \(Expecting value\)"),
        ('{"scenes": [' + '{"a":' * 100_000, "is no JSON of the expected form"),
    ],
)
def test_a_list_of_objects_that_is_wrong(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(TaskError, match=sentence):
        list(json_items(path, "scenes"))


def test_the_page_on_tasks_names_every_place() -> None:
    page = (Path(__file__).parents[2] / "docs/tasks.md").read_text()
    sets = [CIFAR10, CIFAR100, IMAGENETTE, SVHN, PETS, AIRCRAFT, FOOD101]
    for one in sets:
        (row,) = [
            line for line in page.splitlines() if line.startswith(f"| `{one.name}`")
        ]
        train, test = one.facts.sizes
        assert f"| `{one.hub.repo}` | {train:,}, {test:,} | accuracy |" in row
        assert row.endswith("| yes |" if one.facts.mirror else "| no |")
    for module in (clevr_count, hateful_memes):
        train, test = module.FACTS.sizes
        assert f"| `{module.HUB.repo}` | {train:,}, {test:,} |" in page
    assert all(kind in page for kind in KINDS)


def test_all_are_registered() -> None:
    assert {
        "aircraft",
        "cifar10",
        "cifar100",
        "clevr-count",
        "food101",
        "hateful-memes",
        "imagenette",
        "pets",
        "pope",
        "pope/random",
        "pope/popular",
        "pope/adversarial",
        "svhn",
    } <= set(TASKS)
