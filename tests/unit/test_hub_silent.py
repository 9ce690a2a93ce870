"""A Hub that does not answer is given up soon, whatever its client would try."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from huggingface_hub import constants

from matboard import hub
from matboard.errors import HubError, ModelError
from matboard.models.kinds import kind_of


@pytest.fixture(params=["refuses", "is silent"])
def nobody(request, monkeypatch, tmp_path) -> Iterator[str]:
    """The address of a server that takes no connection, or takes it and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "is silent":
            server.listen()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        for module in (constants, hub.constants):
            monkeypatch.setattr(module, "ENDPOINT", address)
            monkeypatch.setattr(module, "HF_HUB_OFFLINE", False)
            monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path))
        yield address


def test_a_repository_is_refused_within_ten_seconds(nobody):
    begun = time.monotonic()
    with pytest.raises(HubError) as error:
        hub.fetch("nobody/border", ["*"])
    assert str(error.value) == (
        f"it is not in the local cache, and {nobody} cannot be reached"
    )
    assert time.monotonic() - begun < 10


def test_so_is_a_model(nobody):
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"cannot be reached\.$"):
        kind_of("nobody/model")
    assert time.monotonic() - begun < 10
