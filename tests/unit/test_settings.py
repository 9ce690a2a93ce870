"""The environment: read in one place, for Python and the command line alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from matboard import settings
from matboard.errors import ConfigError, ModelError, TaskError
from matboard.tasks import load_task
from matboard.zoo import load_model

SRC = Path(settings.__file__).parent


def test_nothing_set_means_the_defaults(monkeypatch):
    monkeypatch.delenv("MATBOARD_DATA", raising=False)
    monkeypatch.setenv("MATBOARD_CACHE", "")
    assert settings.data_dir() is None
    assert settings.cache_dir() == Path.home() / ".cache" / "matboard"


def test_folders_are_taken_as_they_stand_and_a_tilde_means_home(monkeypatch, tmp_path):
    monkeypatch.setenv("MATBOARD_DATA", str(tmp_path / "later"))
    monkeypatch.setenv("MATBOARD_CACHE", "~/built")
    assert settings.data_dir() == tmp_path / "later"
    assert settings.cache_dir() == Path.home() / "built"


def test_a_file_in_a_folders_place_is_said(monkeypatch, tmp_path):
    file = tmp_path / "models"
    file.touch()
    monkeypatch.setenv("MATBOARD_CACHE", str(file))
    with pytest.raises(
        ConfigError, match=r"MATBOARD_CACHE is '.*models', which is a file;"
    ):
        settings.cache_dir()


def test_the_home_folder_of_nobody_is_said(monkeypatch):
    monkeypatch.setenv("MATBOARD_DATA", "~no-such-user-anywhere/data")
    with pytest.raises(
        ConfigError, match=r"MATBOARD_DATA is .* there is no such home folder"
    ):
        settings.data_dir()


@pytest.mark.parametrize(
    "value, expected", [("1", True), ("True", True), ("", False), ("0", False)]
)
def test_whether_servers_may_be_asked(monkeypatch, value, expected):
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert settings.offline() is expected


def test_either_variable_forbids_the_servers(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    assert settings.offline()


def test_a_word_that_is_neither_yes_nor_no_is_said(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "ture")
    with pytest.raises(
        ConfigError, match=r"HF_HUB_OFFLINE is 'ture'; expected 1 .* or 0"
    ):
        settings.offline()


def test_python_finds_data_sets_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MATBOARD_DATA", str(tmp_path / "none"))
    with pytest.raises(TaskError, match=r"The data folder .*none does not exist"):
        load_task("cifar10")


def test_python_finds_built_models_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MATBOARD_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as refusal:
        load_model("mini-llava-cnn")
    assert str(tmp_path / "zoo" / "mini-llava-cnn") in str(refusal.value)


def test_no_other_file_reads_the_environment():
    readers = [
        file.name for file in SRC.rglob("*.py") if "os.environ" in file.read_text()
    ]
    assert readers == ["settings.py"]
