"""Tests check every public tensor argument against its annotation."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from jaxtyping import install_import_hook

install_import_hook(
    ["matboard", "recipes"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)
