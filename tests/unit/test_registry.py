"""Names: lazy, closed, and helpful when wrong."""

import pytest

from matboard.errors import ConfigError, UnknownName
from matboard.registry import Registry

THINGS = Registry(
    "thing",
    {
        "path": "pathlib:PurePosixPath",
        "fraction": "fractions:Fraction",
        "missing": "no.such.module:x",
    },
)


def test_loading_and_building():
    assert THINGS.build("fraction", numerator=1, denominator=2) == 0.5
    assert list(THINGS) == ["path", "fraction", "missing"]


def test_an_unknown_name_gets_a_suggestion_and_the_list():
    with pytest.raises(
        UnknownName,
        match=(
            r"Unknown thing 'fractoin'. Did you mean 'fraction'\? Known: fraction, missing, path."
        ),
    ):
        THINGS["fractoin"]


def test_a_wrong_option_is_named():
    with pytest.raises(
        ConfigError,
        match=r"Unknown option of thing 'fraction' 'numeratr'. Did you mean 'numerator'\?",
    ):
        THINGS.build("fraction", numeratr=1)
