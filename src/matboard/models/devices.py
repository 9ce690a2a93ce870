"""Where models run, and in which precision they are loaded unless somebody says so."""

from __future__ import annotations

import torch

from matboard.errors import ConfigError
from matboard.results.transfer import Precision


def device_of(asked: str | None = None) -> torch.device:
    """The device of that name; a GPU where there is one, if none is asked for.

    Raises:
        ConfigError: torch knows no such device, or finds none here.
    """
    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise ConfigError(
            f"The device {asked!r} cannot be used here ({reason}); expected cpu, cuda, cuda:1 or"
            " another that torch has on this machine."
        ) from error
    return device


def precision_of(device: torch.device) -> Precision:
    """Bfloat16 on a GPU that computes in it, else float32: a model of three billion weights takes
    6 GB or 12.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(
        including_emulation=False
    ):
        return "bfloat16"
    return "float32"


def called(device: torch.device) -> str:
    """A device as results name it: what torch calls it, and whose GPU it is."""
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"
