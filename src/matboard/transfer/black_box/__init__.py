"""Learning without gradients: prompts are tried on a model, and what it answers decides.

Each step a `proposer.Proposer` names prompts to try; all of them are put on the step's pictures and
shown to the source models as they would be deployed, as 8-bit pictures through the official image
processor (`losses.Losses`); of their losses the proposer makes its next point. So a model need not
be ours: one that ranks candidates is enough, or one that only writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from matboard.registry import Registry, check_options

if TYPE_CHECKING:
    from matboard.transfer.black_box.proposer import Proposer

BLACK_BOXES = Registry(
    "way of learning without gradients",
    {
        "cma": "matboard.transfer.black_box.cma_es:CmaEs",
        "spsa": "matboard.transfer.black_box.spsa:Spsa",
    },
)


def resolve(
    name: str, asked: Mapping[str, Any], key: str = "black_box"
) -> dict[str, Any]:
    """All options of a proposer, for records: what is asked for, over its own defaults.

    Args:
        key: where ``asked`` stands in the configuration, for error messages.

    Raises:
        UnknownName: no such proposer or option.
        ConfigError: an option out of its range.
    """
    schema = BLACK_BOXES.options(name)
    checked = check_options(asked, schema, name, prefix=f"{key}.")
    taken = signature(BLACK_BOXES.load(name)).parameters
    return {**{option: taken[option].default for option in schema}, **checked}


def way(name: str, options: Mapping[str, Any]) -> Callable[..., Proposer]:
    """What makes a proposer with these options; see `fit.BlackBoxFit`. Raises UnknownName."""
    return partial(BLACK_BOXES.load(name), **options)
