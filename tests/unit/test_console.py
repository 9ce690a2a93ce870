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
    told.warning("`torch_dtype` is deprecated! Use `dtype` instead!")
    told.warning("`use_fast` will be removed in version 5.26.")
    told.warning("Some weights of Some were not initialized: lm_head.weight")
    with warnings.catch_warnings():
        quiet_transformers()
        warnings.warn("`encode` is on its way out", FutureWarning, stacklevel=1)
    seen = capfd.readouterr().err
    assert "weights of Some were not initialized" in seen
    assert "deprecated" not in seen and "removed in" not in seen
    assert "on its way out" not in seen


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
