"""Configurations: words over YAML, variants and grids, and every wrong key named in full."""

import os
import threading

import pytest

from matboard.errors import ConfigError
from matboard.studies.config import ContinualConfig, StudyConfig
from matboard.studies.prompts import check_variant
from matboard.studies.reading import load_config, parse
from matboard.studies.recipe import recipe_of
from matboard.studies.variants import fit_variants, learner_variants
from matboard.transfer.optimisers import Adam

SMALL = "sources: [tiny-minigpt4]\nguide: tiny-guide\ntask: {name: scenes-counting}\n"
STREAM = {"task": {"name": "scenes-things"}, "backbone": {"model": "tiny-vit"}}


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def study(**settings):
    raw = {"sources": ["m"], "guide": "g", "task": {"name": "t"}, **settings}
    return fit_variants(parse(StudyConfig, raw, "test"))


def test_words_are_laid_over_the_file(small):
    words = ["steps=7", "prompt.width=20", "methods.vp.lr=3", "seeds=[1,2]"]
    config = load_config(small, words, StudyConfig)
    assert (config.steps, config.prompt.width, config.seeds) == (7, 20, [1, 2])
    assert fit_variants(config)[0].settings.lr == 3.0


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("prompt.widht=20", r"unknown key 'prompt.widht', did you mean 'width'\?"),
        ("methods.tvp.lrr=2", r"unknown key 'methods.tvp.lrr', did you mean 'lr'\?"),
        (
            "methods.wide={method: tvp, prompt.widht: 2}",
            r"unknown key 'methods.wide.prompt.widht', did you mean 'width'\?",
        ),
        (
            "methods.wide.lr=3",
            r"Unknown method 'wide'. Known: cma, evp, matboard, spsa, tvp, vp",
        ),
        ("methods={../../x: {method: vp}}", r"'../../x' cannot be a variant's name"),
        (
            "evaluate.tasks=[{nam: x}]",
            r"key 'evaluate.tasks.0.name' is missing; unknown key 'evaluate.tasks.0.nam'",
        ),
        ("stepps=3", r"unknown key 'stepps', did you mean 'steps'\?"),
        ("steps=many", r"steps: expected a whole number, came 'many'\.$"),
        ("seeds=[1,1]", r"seeds names 1 twice"),
        ("seeds=[-1]", r"seeds.0: expected at least 0, came -1"),
        (
            "seeds=[9223372036854775808]",
            r"seeds.0: expected less than 2147483648, came 9223",
        ),
        ("sources=[a, a]", r"sources names 'a' twice"),
        ("evaluate.models=[a, a]", r"evaluate.models names 'a' twice"),
        ("evaluate.tasks=[{name: a}, {name: a}]", r"evaluate.tasks names 'a' twice"),
        (
            "evaluate.scorers=[]",
            r"evaluate.scorers: expected at least 1 of them, came \[\]",
        ),
        ("lr=.inf", r"lr: expected a finite number, came inf"),
        ("lr=.nan", r"lr: expected "),
        ("lr=0", r"lr: expected more than 0, came 0"),
        ("methods.vp.lr=.inf", r"methods.vp.lr: expected a finite number, came inf"),
        ("batch_size=-2", r"batch_size: expected more than 0, came -2"),
        ("steps=0", r"steps: expected more than 0, came 0"),
        (
            "grid={prompt.width: []}",
            r"grid.prompt.width: expected at least 1 of them, came \[\]",
        ),
        ("grid={prompt.widht: [1]}", r"unknown key 'methods.tvp.prompt.widht'"),
        ("steps", r"'steps' is no setting; expected key.sub=value"),
        (
            "task.name.first=3",
            r"'name' holds 'scenes-counting', which has no keys below it",
        ),
        ("steps=[1", r"'steps=\[1' is no setting"),
        (
            "prompt.width=[[/]]",
            r"prompt.width: expected a whole number, came \[\['/'\]\]",
        ),
    ],
)
def test_wrong_words(small, word, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load_config(small, [word], StudyConfig)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (
            "sources=tiny-blip2",
            "sources: expected a list, such as [tiny-blip2], came 'tiny-blip2'.",
        ),
        ("seeds=3", "seeds: expected a list, such as [3], came 3."),
        (
            "task=scenes-counting",
            "task: expected keys and values, came 'scenes-counting'; write {name:"
            " scenes-counting}.",
        ),
        (
            "evaluate.tasks=[scenes-counting]",
            "evaluate.tasks.0: expected keys and values, came 'scenes-counting'; write"
            " {name: scenes-counting}.",
        ),
        ("prompt=30", "prompt: expected keys and values, came 30."),
        ("methods=[vp, tvp]", "methods: expected keys and values, came ['vp', 'tvp']."),
        ("prompt.width=2.5", "prompt.width: expected a whole number, came 2.5."),
        ("diversity=often", "diversity: expected true or false, came 'often'."),
        ("task.name=3", "task.name: expected a word or a text, came 3."),
        ("title=[a]", "title: expected a word or a text, came ['a']."),
        (
            "prompt.layout=bordr",
            "prompt.layout: expected 'border', 'patch' or 'full' (did you mean"
            " 'border'?), came 'bordr'.",
        ),
    ],
)
def test_a_wrong_shape_is_said_in_plain_words(small, word, sentence):
    with pytest.raises(ConfigError) as error:
        load_config(small, [word], StudyConfig)
    assert str(error.value) == f"{small}: {sentence}"


def test_each_kind_of_study_names_the_command_of_the_other(tmp_path):
    path = tmp_path / "stream.yaml"
    path.write_text(
        "task: {name: scenes-things}\nbackbone: {model: tiny-vit}\nlearners: {l2p: {}}\n"
    )
    with pytest.raises(ConfigError) as error:
        load_config(path, [], StudyConfig)
    assert str(error.value) == (
        f"{path}: with learners and backbone it is a study over a stream of tasks; use"
        " 'matboard continual' for it."
    )
    path.write_text(SMALL)
    with pytest.raises(ConfigError) as error:
        load_config(path, [], ContinualConfig)
    assert str(error.value) == (
        f"{path}: with sources it is a study of pixel prompts; use 'matboard fit' for it."
    )


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ConfigError, match=r"sources.*task") as error:
        parse(StudyConfig, {"sources": []}, "x.yaml")
    assert str(error.value).startswith("x.yaml: ")


LAUGHS = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    + [
        f"{b}: &{b} [{', '.join(['*' + a] * 10)}]"
        for a, b in zip("abcdefgh", "bcdefghi")
    ]
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n- b\n", "holds list; expected keys and values"),
        ("a: [1\n", "is not valid YAML"),
        ("steps: 3\nsteps: 4\n", "the key 'steps' stands there twice"),
        ("task: {name: a, name: b}\n", "the key 'name' stands there twice"),
        ("? [a, b]\n: 1\n", "a key is no plain value"),
        ("a: !!python/object/apply:os.system [true]\n", "is not valid YAML"),
        (LAUGHS, "holds more than 10000 values or is nested deeper"),
        (
            "a: " + "[" * 60 + "]" * 60,
            "holds more than 10000 values or is nested deeper",
        ),
        ("a: " + "[" * 5000, "is not valid YAML"),
        ("steps: " + "9" * 5000, "steps|not valid YAML"),
    ],
)
def test_broken_and_hostile_files(tmp_path, text, sentence):
    path = tmp_path / "some.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as error:
        load_config(path, [], StudyConfig)
    assert len(str(error.value)) < 1000


def test_what_is_no_file_is_refused_and_does_not_hang(tmp_path):
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    for path, sentence in [
        (tmp_path / "none.yaml", "cannot be read"),
        (tmp_path, "is no regular file"),
        (pipe, "is no regular file"),
    ]:
        failed = []

        def read(path=path, failed=failed):
            with pytest.raises(ConfigError) as error:
                load_config(path, [], StudyConfig)
            failed.append(str(error.value))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(timeout=10)
        assert failed and sentence in failed[0]
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"title: \xff\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(latin, [], StudyConfig)


# -- variants --------------------------------------------------------------------------------------


def test_a_variant_has_what_is_its_own_over_the_study():
    plain, wide = study(
        prompt={"width": 20, "size": 128},
        lr=5,
        methods={
            "tvp": None,
            "wide": {"method": "evp", "prompt.width": 50, "sources": ["n"]},
        },
    )
    assert (plain.settings.prompt.width, plain.settings.prompt.size) == (20, 128)
    assert (wide.settings.prompt.width, wide.settings.prompt.size) == (50, 128)
    assert (plain.settings.method, wide.settings.method) == ("tvp", "evp")
    assert plain.settings.sources == ["m"] and wide.settings.sources == ["n"]
    assert plain.settings.lr == wide.settings.lr == 5


def test_nested_and_dotted_keys_say_the_same():
    dotted, nested = study(
        methods={
            "a": {"method": "tvp", "objective.feature_consistency.weight": 0.5},
            "b": {
                "method": "tvp",
                "objective": {"feature_consistency": {"weight": 0.5}},
            },
        }
    )
    assert dotted.settings == nested.settings


def test_steps_or_epochs_say_how_long():
    with pytest.raises(
        ConfigError, match=r"steps is 3 and epochs is 2; both say how long"
    ):
        study(steps=3, epochs=2)
    plain, own = study(steps=3, methods={"tvp": {}, "vp": {"epochs": 2}})
    assert (plain.settings.steps, plain.settings.epochs) == (3, None)
    assert (own.settings.steps, own.settings.epochs) == (None, 2)
    assert (recipe_of(own.settings).steps, recipe_of(own.settings).epochs) == (None, 2)


def test_what_says_no_length_learns_as_long_as_its_method():
    recipes = [recipe_of(v.settings) for v in study(methods={"vp": {}, "tvp": {}})]
    assert [(r.steps, r.epochs) for r in recipes] == [(None, 1000), (3125, None)]
    (asked,) = study(methods={"vp": {"steps": 5}})
    assert (recipe_of(asked.settings).steps, recipe_of(asked.settings).epochs) == (
        5,
        None,
    )


def test_a_variant_is_validated_as_the_study_says_or_not_at_all():
    plain, often, off = study(
        validation={"every": 10},
        methods={
            "vp": {},
            "often": {"method": "vp", "validation.every": 5},
            "off": {"method": "vp", "validation": None},
        },
        evaluate={"scorers": ["generation", "ranking"], "batch_size": 8},
    )
    assert plain.settings.validation == {
        "share": 0.1,
        "limit": 200,
        "every": 10,
        "patience": 5,
        "scorer": "generation",
        "batch_size": 8,
    }
    assert often.settings.validation == {**plain.settings.validation, "every": 5}
    assert off.settings.validation is None
    (without,) = study(methods={"vp": {}})
    assert without.settings.validation is None


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"patienc": 3}, r"'methods\.vp\.validation\.patienc'.*'.*patience'"),
        ({"share": 1.5}, r"'methods\.vp\.validation\.share' of validation"),
        ("often", "validation: expected keys and values, came 'often'"),
    ],
)
def test_wrong_validation(asked, sentence):
    with pytest.raises(ConfigError, match=sentence):
        study(validation=asked, methods={"vp": {}})


def test_forms_of_terms_reach_the_variants_that_count_them():
    forms = {"feature_consistency": {"form": "l2_mean_tokens"}, "preset": "paper"}
    plain, full, own = study(
        objective=forms,
        methods={
            "vp": {},
            "tvp": {},
            "own": {"method": "vp", "objective.feature_consistency.weight": 1},
        },
    )
    assert plain.settings.objective == {"preset": "paper"}
    assert full.settings.objective == forms
    assert own.settings.objective["feature_consistency"] == {
        "form": "l2_mean_tokens",
        "weight": 1,
    }


def test_a_grid_crosses_every_variant():
    found = study(
        methods={"vp": {}, "evp": {}},
        grid={"prompt.width": [10, 50], "lr": [1, 2.5]},
    )
    assert [variant.name for variant in found] == [
        f"{method}@prompt.width={width},lr={lr}"
        for method in ("vp", "evp")
        for width in (10, 50)
        for lr in ("1", "2.5")
    ]
    last = found[-1].settings
    assert (last.method, last.prompt.width, last.lr) == ("evp", 50, 2.5)


def test_a_grid_over_sources_gives_names_that_files_may_have():
    found = study(grid={"sources": [["a"], ["a", "you/b"]]})
    assert [variant.name for variant in found] == [
        "tvp@sources=a",
        "tvp@sources=a+you-b",
    ]


def learners(**settings):
    return learner_variants(parse(ContinualConfig, {**STREAM, **settings}, "test"))


def test_learners_have_the_training_of_all_and_their_own_over_it():
    found = learners(
        learners={"l2p": {"lr": 0.5}, "ridge": None, "two": {"learner": "l2p"}},
        training={"epochs": 3, "lr": 0.1},
    )
    options = {variant.name: variant.options for variant in found}
    assert (options["l2p"]["epochs"], options["l2p"]["lr"], options["two"]["lr"]) == (
        3,
        0.5,
        0.1,
    )
    assert "epochs" not in options["ridge"]


def test_a_grid_over_learners_leaves_out_those_without_the_option():
    found = learners(learners={"l2p": {}, "ridge": {}}, grid={"size": [5, 10]})
    assert [variant.name for variant in found] == ["l2p@size=5", "l2p@size=10", "ridge"]
    assert [variant.options.get("size") for variant in found] == [5, 10, None]


def test_a_learner_is_swept_over_those_options_alone_that_it_has():
    found = learners(
        learners={"cls-vae": {}, "l2p": {}}, grid={"top_k": [1, 2], "epochs": [3, 4]}
    )
    assert [variant.name for variant in found] == [
        "cls-vae@epochs=3",
        "cls-vae@epochs=4",
        "l2p@top_k=1,epochs=3",
        "l2p@top_k=1,epochs=4",
        "l2p@top_k=2,epochs=3",
        "l2p@top_k=2,epochs=4",
    ]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"training": {"epochz": 3}},
            r"Unknown key of training 'epochz'. Did you mean 'epochs'\?",
        ),
        (
            {"grid": {"top_q": [3]}},
            r"Unknown key of grid 'top_q'. Did you mean 'top_k'\?",
        ),
        (
            {"learners": {"../x": {"learner": "l2p"}}},
            "'../x' cannot be a variant's name",
        ),
        (
            {"reference": "l3p"},
            "reference is 'l3p', which is none of the learners: l2p",
        ),
        ({"stream": {"domains": ["a"]}}, "stream.domains names the tasks"),
    ],
)
def test_wrong_settings_of_learners(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        learners(**{"learners": {"l2p": {}}, **settings})


def test_another_optimiser_than_the_methods_does_without_its_norm():
    (plain,) = study(methods={"matboard": {}})
    (other,) = study(methods={"matboard": {"optimiser": "adam", "lr": 0.01}})
    assert recipe_of(plain.settings).norm_scope == "prompt"
    assert isinstance(recipe_of(other.settings).build_optimiser(5), Adam)


def test_an_option_that_an_optimiser_lacks_is_refused_before_anything_is_learned():
    (wrong,) = study(methods={"matboard": {"optimiser": "adam", "norm_scope": "full"}})
    with pytest.raises(ConfigError, match=r"adam.*norm_scope"):
        check_variant(wrong)
