"""What a study says of its models: names of its own, captions, label mappings."""

import json

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

from matboard.errors import ConfigError, ModelError
from matboard.prompts.artifact import load_prompt
from matboard.results import read
from matboard.studies.config import StudyConfig
from matboard.studies.loading import Models
from matboard.studies.prompts import study
from matboard.studies.reading import parse

CONTRAST = {"task_loss": {"weight": 0}, "candidate_contrast": {"weight": 1}}
SMALL = {
    "sources": ["plain"],
    "models": {
        "plain": {"model": "tiny-guide"},
        "drawn": {"model": "tiny-guide", "templates": ["a drawing: {}", "{}"]},
    },
    "task": {"name": "scenes-recognition/noise", "train": 8, "test": 8},
    "methods": {"evp": {}},
    "objective": CONTRAST,
    "steps": 2,
    "batch_size": 4,
    "validation": None,
    "evaluate": {"models": ["drawn"], "examples": 1},
}


def parsed(**changed):
    return parse(StudyConfig, {**SMALL, **changed}, "test")


def vit(folder):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    config = ViTConfig(
        **shape, num_hidden_layers=1, image_size=32, patch_size=8, num_labels=12
    )
    ViTForImageClassification(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    ViTImageProcessorPil(size=size).save_pretrained(folder)
    return str(folder)


def test_one_model_under_two_captions_is_two_rows(tmp_path):
    list(study(parsed(), tmp_path))
    results = read(tmp_path)
    assert [model.name for model in results.models] == ["plain", "drawn"]
    assert results.models[0].encoder == results.models[1].encoder
    assert results.models[1].shares_encoder
    said = "drawn answers by captions 'a drawing: {}', '{}'."
    assert said in results.notes


def test_captions_are_part_of_what_was_learned(tmp_path):
    addresses = set()
    for templates in (["a {}"], ["the {}"]):
        models = {"plain": {"model": "tiny-guide", "templates": templates}}
        folder = tmp_path / templates[0][:1]
        config = parsed(models=models, evaluate={"examples": 0})
        list(study(config, folder))
        addresses |= {fit.name for fit in (folder / "fits").iterdir()}
    assert len(addresses) == 2


def test_a_classifiers_mapping_lies_beside_the_prompt_and_the_fit_resumes(tmp_path):
    place = vit(tmp_path / "vit")
    asked = {
        "sources": ["iterative"],
        "models": {
            "iterative": {"model": place, "mapping": "iterative"},
            "random": {"model": place, "mapping": "random"},
        },
        "evaluate": {"models": ["random"], "examples": 0},
        "checkpoint_every": 1,
    }
    list(study(parsed(**asked), tmp_path / "whole"))
    (kept,) = (tmp_path / "whole/fits").glob("*/prompt")
    mappings = load_prompt(str(kept)).config["label_mappings"]
    assert mappings["iterative"]["rule"] == "iterative"
    classes = [one["class"] for one in mappings["iterative"]["answers"].values()]
    assert len(set(classes)) == len(classes) == 8
    told = json.loads((kept / "prompt_config.json").read_text())
    assert told["label_mappings"] == mappings
    for event in study(parsed(**asked), tmp_path / "stopped"):
        if event.stage.startswith("learn") and event.done == 1:
            break
    list(study(parsed(**asked), tmp_path / "stopped"))
    (again,) = (tmp_path / "stopped/fits").glob("*/prompt")
    ours = load_prompt(str(again)).perturbation
    assert (ours == load_prompt(str(kept)).perturbation).all()


def test_settings_of_a_model_that_nobody_uses_are_refused():
    models = {**SMALL["models"], "darwn": {"model": "tiny-guide"}}
    with pytest.raises(ConfigError, match=r"model of the study 'models\.darwn'"):
        parsed(models=models)
    with pytest.raises(ConfigError, match=r"models\.plain\.mapping"):
        parsed(models={"plain": {"mapping": "best"}})


def test_one_model_under_two_names_is_refused(tmp_path):
    models = {name: {"model": "tiny-guide"} for name in ("plain", "drawn")}
    with pytest.raises(ConfigError, match="'plain' and 'drawn' are the same model"):
        list(study(parsed(models=models), tmp_path))


def test_a_dual_encoder_without_contrast_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ModelError, match=r"plain \(DualEncoder\) gives no answer a"):
        list(study(parsed(objective={}), tmp_path))


def test_a_study_says_how_a_model_is_asked():
    asked = {"model": "tiny-blip2", "template": "Question: {question} Answer:"}
    models = parsed(
        sources=["asked"], models={"asked": asked}, evaluate={"models": []}
    ).models
    loaded = Models(models).source("asked", "float32")
    assert loaded.template.text("why?") == "Question: why? Answer:"
    assert Models(models).settings(["asked"]) == {"asked": asked}
