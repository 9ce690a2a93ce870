"""Learning without gradients in a study: budgets, records, and what is refused."""

import pytest

from matboard.errors import ConfigError, ModelError
from matboard.studies.config import StudyConfig
from matboard.studies.loading import Models
from matboard.studies.prompts import check_sources, check_variant
from matboard.studies.reading import parse
from matboard.studies.recipe import content_of, in_steps, recipe_of
from matboard.studies.starting import learnable
from matboard.studies.variants import fit_variants
from matboard.tasks import load_task

BASE = {"sources": ["tiny-minigpt4"], "task": {"name": "scenes-counting"}}


def variant(name, study=None, **own):
    asked = {**BASE, **(study or {}), "methods": {name: own}}
    return fit_variants(parse(StudyConfig, asked, "study"))[0]


def recipe(name, study=None, **own):
    return recipe_of(variant(name, study, **own).settings)


def test_options_lie_over_the_methods_own():
    own = recipe("spsa", black_box={"proposals": 4}, lr=0.5)
    assert (own.black_box["proposals"], own.lr) == (4, 0.5)
    assert own.black_box["radius"] == recipe("spsa").black_box["radius"]
    assert recipe("matboard").black_box is None
    swapped = recipe("cma", optimiser="spsa")  # another way has other options
    assert swapped.black_box["radius"] == 0.01


def test_queries_say_how_long_is_learned():
    settings = variant(
        "cma",
        queries=1000,
        batch_size=8,
        black_box={"proposals": 10},
        validation={"share": 0.25, "every": 4, "limit": 10},
    ).settings
    task = load_task("scenes-counting", train=64, test=4)
    made = in_steps(recipe_of(settings), settings, task, 0)
    held = len(task.validation_split(10 / 64, 0)[1].test)
    assert made.steps * 80 + (2 + -(-made.steps // 4)) * held <= 1000
    more = made.steps + 1
    assert more * 80 + (2 + -(-more // 4)) * held > 1000
    with pytest.raises(ConfigError, match="steps is 3 and queries is 9; both say how"):
        variant("cma", steps=3, queries=9)


def test_a_study_of_white_boxes_keeps_its_own_length():
    assert recipe("matboard", {"steps": 9}).steps == 9
    assert recipe("spsa", {"steps": 9}, queries=500).queries == 500
    assert recipe("spsa", {"steps": 9}, queries=500).steps is None


def test_fits_by_gradients_lie_where_they_lay():
    """What only ways without gradients have is no part of the address of other fits."""
    task = load_task("scenes-counting", train=8, test=4)
    settings = variant("evp").settings
    told = content_of(settings, recipe_of(settings), task, 0)
    assert not {"queries", "black_box"} & told.keys()
    settings = variant("spsa").settings
    assert "black_box" in content_of(settings, recipe_of(settings), task, 0)


@pytest.mark.parametrize(
    ("name", "own", "sentence"),
    [
        ("evp", {"black_box": {"radius": 1}}, "evp follows gradients; set it for"),
        ("spsa", {"black_box": {"radios": 1}}, "'black_box.radios'. Did you mean"),
        ("spsa", {"black_box": {"radius": -1}}, "'black_box.radius' of spsa: "),
        ("spsa", {"black_box": {"proposals": 5}}, "SPSA tries prompts in pairs"),
        ("spsa", {"per_picture": "clip"}, "per_picture is clip, which spsa has no"),
        ("cma", {"schedule": "cosine"}, "schedule is cosine, which cma has no use"),
        ("cma", {}, "has 69840; set prompt.resolution, such as 8"),
        (
            "spsa",
            {"objective": {"feature_consistency": {"weight": 0.1}}},
            "spsa learns by candidate_contrast alone, but the objective has",
        ),
    ],
)
def test_what_means_nothing_is_refused(name, own, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_variant(variant(name, **own))


def test_without_gradients_the_way_that_needs_none_is_named():
    from test_black_box import Likes

    said = (
        r"likes \(Likes\) gives no gradient .* only asks what it answers: spsa or cma"
    )
    with pytest.raises(ModelError, match=said):
        learnable(Likes())


def test_a_model_behind_an_api_is_refused_to_gradients_before_it_is_called():
    closed = {**BASE, "sources": ["openai:m@http://127.0.0.1:9/v1"]}
    said = r"openai:m@http://127.0.0.1:9/v1 gives no gradient .*: spsa or cma\."
    with pytest.raises(ModelError, match=said):
        check_sources(variant("evp", closed), Models())
    check_sources(variant("spsa", closed), Models())
