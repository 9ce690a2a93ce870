"""What the command line passes on of what libraries say, and what it lists."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest
from typer.testing import CliRunner

from matboard import zoo
from matboard.cli import app
from matboard.cli.console import quiet_transformers
from matboard.models.capabilities import Ranks
from matboard.zoo.names import CLASSIFIERS, GUIDES, MINI, TINY


def test_what_transformers_deprecates_does_not_reach_users(capfd):
    quiet_transformers()
    library = logging.getLogger("transformers")
    told = logging.getLogger("transformers.models.some.modeling_some")
    library.handlers[0].setStream(sys.stderr)
    told.warning(
        "The `use_fast` parameter is deprecated and will be removed in a future version."
    )
    told.warning(
        "`past_key_values`/`cache_params` are deprecated. Use `cache` instead."
    )
    told.warning("Some weights of Some were not initialized: lm_head.weight")
    with warnings.catch_warnings():
        quiet_transformers()
        said = "`past_key_values` is deprecated and will be removed in version 5.40.0"
        warnings.warn(said, FutureWarning, stacklevel=1)
    seen = capfd.readouterr().err
    assert "weights of Some were not initialized" in seen
    assert "deprecated" not in seen


def test_every_model_of_the_list_can_be_judged():
    listed = CliRunner().invoke(app, ["list", "models"]).stdout.splitlines()
    named = [line.split()[0] for line in listed if line[26:36].strip()]
    of_the_zoo = [name for name in named if name.startswith(("tiny-", "mini-"))]
    assert set(of_the_zoo) == {*TINY, *MINI, *GUIDES, *CLASSIFIERS}
    assert "a dual encoder" in next(one for one in listed if "tiny-guide" in one)
    model = zoo.load_model("tiny-guide", device="cpu")
    assert isinstance(model, Ranks)


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_is_called_what_it_is_judged_as(guide):
    assert GUIDES[guide].startswith("a dual encoder")
