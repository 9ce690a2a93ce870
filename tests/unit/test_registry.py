"""Names: lazy, open to other packages, and helpful when wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from matboard.errors import ConfigError, MissingExtra, UnknownName
from matboard.registry import Registry, check_options, options_of

THINGS = Registry(
    "thing",
    {
        "path": "pathlib:PurePosixPath",
        "fraction": "fractions:Fraction",
        "missing": "no.such.module:x",
    },
)
GROUP = "matboard.test_things"


def install(folder: Path, package: str, *lines: str) -> None:
    """Lay a distribution with entry points into a folder, as pip would."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(lines) + "\n")


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder that Python finds packages in."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def opened() -> Registry:
    return Registry("thing", {"path": "pathlib:PurePosixPath"}, group=GROUP)


def test_a_name_is_imported_when_it_is_asked_for():
    assert THINGS.load("fraction")(1, 2) == 0.5
    assert list(THINGS) == ["path", "fraction", "missing"]


def test_an_unknown_name_gets_a_suggestion_and_the_list():
    with pytest.raises(
        UnknownName,
        match=r"Unknown thing 'fractoin'. Did you mean 'fraction'\? Known: fraction, missing",
    ):
        THINGS["fractoin"]


def test_another_package_adds_a_name_and_nothing_is_imported_until_it_is_asked_for(
    outside,
):
    (outside / "bolts_of_ours.py").write_text(
        "def bolt(*, width: float = 1.0): return width\n"
    )
    install(outside, "bolts-package", "bolt = bolts_of_ours:bolt")
    things = opened()
    assert list(things) == ["path", "bolt"]
    assert "bolt" in things
    assert things.package("bolt") == "bolts-package"
    assert things.package("path") == "matboard"
    assert "bolts_of_ours" not in sys.modules
    assert things.options("bolt") == {"width": float}
    assert things.load("bolt")(width=2.0) == 2.0


def test_a_name_claimed_twice_names_both_packages(outside):
    install(outside, "bolts-package", "path = bolts_of_ours:bolt")
    expected = (
        r"The packages matboard and bolts-package both bring a thing named 'path' \(entry-point"
        rf" group {GROUP}\)\. Uninstall bolts-package, or ask its authors for another name\."
    )
    with pytest.raises(ConfigError, match=expected):
        list(opened())


def test_two_other_packages_with_one_name_are_refused_too(outside):
    install(outside, "a-bolts", "bolt = a:bolt")
    install(outside, "b-bolts", "bolt = b:bolt")
    with pytest.raises(
        ConfigError, match="packages a-bolts and b-bolts both bring a thing"
    ):
        opened().load("path")


@pytest.mark.parametrize(
    "code, target, reason",
    [
        ("", "no_such_bolts:bolt", "No module named 'no_such_bolts'"),
        ("x = 1", "half_bolts:bolt", "module 'half_bolts' has no attribute 'bolt'"),
        ("def bolt(:", "half_bolts:bolt", "invalid syntax"),
        (
            "import no_such_library",
            "half_bolts:bolt",
            "No module named 'no_such_library'",
        ),
    ],
)
def test_a_broken_entry_names_its_package(outside, monkeypatch, code, target, reason):
    (outside / "half_bolts.py").write_text(code)
    monkeypatch.delitem(sys.modules, "half_bolts", raising=False)
    install(outside, "bolts-package", f"bolt = {target}")
    expected = rf"The thing 'bolt' of the package bolts-package cannot be loaded from '{target}': "
    with pytest.raises(ConfigError, match=expected + reason):
        opened().load("bolt")


def test_a_library_that_is_not_installed_is_said_by_its_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "onnx.helper", raising=False)
    with pytest.raises(
        MissingExtra, match=r"needs onnx, .* pip install 'matboard\[zoo\]'"
    ):
        Registry("thing", {"helper": "onnx.helper:make_node"}).load("helper")


def build(
    eye: object, *, width: int = 1, share: Annotated[float, Field(ge=0)] = 0.5
) -> None:
    """Something with options; what is positional is none."""


def test_options_are_the_keyword_only_arguments():
    assert list(options_of(build)) == ["width", "share"]


def test_options_become_what_their_types_say():
    schema = options_of(build)
    assert check_options({"width": "3", "share": 1}, schema, "thing 'x'") == {
        "width": 3,
        "share": 1.0,
    }


@pytest.mark.parametrize(
    "asked, sentence",
    [
        (
            {"widht": 1},
            r"Unknown option of thing 'x' 'things\.x\.widht'\. Did you mean 'things\.x\.width'\?",
        ),
        (
            {"width": 1.5},
            r"Option 'things\.x\.width' of thing 'x': expected a whole number, came 1\.5\.",
        ),
        (
            {"share": -1},
            r"Option 'things\.x\.share' of thing 'x': expected at least 0, came ",
        ),
        (
            {"share": float("inf")},
            r"Option 'things\.x\.share' of thing 'x': expected a finite number, came ",
        ),
        (
            {"share": float("nan")},
            r"Option 'things\.x\.share' of thing 'x': expected a finite number, came ",
        ),
    ],
)
def test_a_wrong_option_is_named_in_full(asked, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_options(asked, options_of(build), "thing 'x'", prefix="things.x.")
