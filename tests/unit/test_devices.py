"""Where models run and in which precision they are loaded: what is asked for, what is refused."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from typer.testing import CliRunner

from matboard import zoo
from matboard.cli import app
from matboard.cli.console import model_options, settings_and_folder
from matboard.errors import ConfigError, MissingExtra, ModelError
from matboard.images import to_picture
from matboard.models import devices
from matboard.studies import loading
from matboard.studies.config import ModelConfig, StudyConfig
from matboard.studies.loading import Models, with_options

SMALL = "sources: [tiny-minigpt4]\nguide: tiny-guide\ntask: {name: scenes-counting}\n"
STREAM = """
backbone: {model: tiny-vit}
task: {name: scenes-things, train: 96, test: 48}
learners: {ridge: {}}
"""
PICTURES = [to_picture(torch.rand(3, 64, 64, generator=torch.manual_seed(0)).numpy())]


def test_a_device_that_is_not_there_is_a_sentence():
    assert devices.device_of("cpu") == torch.device("cpu")
    assert devices.called(torch.device("cpu")) == "cpu"
    with pytest.raises(ConfigError, match=r"The device 'gpu' cannot be used here"):
        devices.device_of("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(
            ConfigError, match=r"'cuda:7' cannot .*; expected cpu, cuda"
        ):
            devices.device_of("cuda:7")


def test_a_gpu_that_knows_bfloat16_loads_models_in_it(monkeypatch):
    gpu = torch.device("cuda")
    for known, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda known=known, **_: known
        )
        assert devices.precision_of(gpu) == precision
        assert devices.precision_of(torch.device("cpu")) == "float32"


def test_a_study_that_names_no_precision_has_the_devices(tmp_path, monkeypatch):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    monkeypatch.setattr(loading, "precision_of", lambda device: "bfloat16")
    settings, _ = settings_and_folder(path, [], None, StudyConfig)
    assert settings.precision == "bfloat16"
    settings, _ = settings_and_folder(path, ["precision=mixed"], None, StudyConfig)
    assert settings.precision == "mixed"
    path.write_text(SMALL + "precision: float32\n")
    assert settings_and_folder(path, [], None, StudyConfig)[0].precision == "float32"


def test_the_backbone_of_a_stream_is_loaded_as_asked(tmp_path, monkeypatch):
    class Asked(Exception):
        pass

    def load(name, **options):
        raise Asked(options["device"], options["dtype"])

    monkeypatch.setattr(zoo, "load_backbone", load)
    path = tmp_path / "stream.yaml"
    path.write_text(STREAM)
    words = ["continual", str(path), "--out", str(tmp_path / "run")]
    for more, expected in (
        (["--device", "cpu"], ("cpu", torch.float32)),
        (["--precision", "bfloat16"], (str(devices.device_of()), torch.bfloat16)),
    ):
        failed = CliRunner().invoke(app, [*words, *more]).exception
        assert isinstance(failed, Asked) and failed.args == expected
    for more, sentence in (
        (["--device", "gpu"], "The device 'gpu' cannot be used here"),
        (["--precision", "mixed"], "backbone.precision: expected 'float32' or"),
    ):
        failed = CliRunner().invoke(app, [*words, *more]).exception
        assert isinstance(failed, ConfigError) and sentence in str(failed)


def test_options_for_all_models_lie_over_what_each_has():
    asked = {"a": ModelConfig(model="you/a"), "c": ModelConfig(mapping="random")}
    given = ModelConfig(quantise="4bit")
    told = with_options(asked, ["a", "b"], given)
    assert told == {
        "a": ModelConfig(model="you/a", quantise="4bit"),
        "b": ModelConfig(quantise="4bit"),
        "c": ModelConfig(mapping="random"),
    }
    assert with_options(asked, ["a", "b"], ModelConfig()) == asked
    assert model_options(quantise=None, trust_remote_code=False) is None
    assert model_options(
        quantise="8bit", device_map=None, trust_remote_code=True
    ) == ModelConfig(quantise="8bit", trust_remote_code=True)
    with pytest.raises(ConfigError, match=r"quantise: expected '4bit' or '8bit'"):
        model_options(quantise="4")


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is not None, reason="it is installed"
)
def test_quantised_weights_need_bitsandbytes_and_say_so():
    with pytest.raises(MissingExtra) as error:
        zoo.load_model("tiny-blip2", quantise="4bit")
    asked = {"tiny-blip2": ModelConfig(quantise="4bit")}
    with pytest.raises(MissingExtra):  # before anything is begun
        Models(asked).look_up(["tiny-blip2"], [])
    assert str(error.value) == (
        "This needs bitsandbytes, which is not installed; run: pip install"
        " 'matboard[quantise]'"
    )


def test_mixed_precision_cannot_be_laid_out():
    with pytest.raises(
        ModelError, match=r"mixed goes with neither quantise nor device"
    ):
        zoo.load_model("tiny-blip2", dtype="mixed", device_map="cpu")


def test_a_model_laid_over_devices_answers_as_it_does_on_one():
    loaded = Models({"a": ModelConfig(model="tiny-blip2", device_map="cpu")}, "cpu")
    laid = next(iter(loaded.judged(["a"], "float32")))
    plain = zoo.load_model("tiny-blip2", device="cpu")
    asked = PICTURES, ["what is it?"], [["red", "blue"]]
    told = [model.candidate_log_likelihoods(*asked) for model in (laid, plain)]
    assert torch.equal(*told)
