"""Files from the Hugging Face Hub, or from the server that ``HF_ENDPOINT`` names; and in words why
they did not come.

The Hub's client raises kinds of errors that have little in common; `why` turns them into what a
user can act on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub import constants, get_session, model_info, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from matboard import settings
from matboard.errors import HubError, first_line

CLIENT_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError, HTTPError)
"""What the client raises; its ``HTTPError`` is that of the HTTP library below it, and no OSError.
"""
REFUSALS: tuple[type[Exception], ...] = (HubError, *CLIENT_ERRORS)
"""Whatever keeps a push from being made."""


PATIENCE = 3.0
"""Seconds in which the Hub must answer anything at all (guess). Its client tries a server that
cannot be reached six times, which takes half a minute, for each file anew.
"""


def answers() -> bool:
    """Whether the Hub may be asked, and answers; else only the local cache has anything."""
    if settings.offline():
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except (HTTPError, OSError):
        return False
    return True


def fetch(
    repo_id: str,
    files: Sequence[str],
    *,
    kind: str = "model",
    revision: str | None = None,
    token: str | bool | None = None,
) -> Path:
    """A folder in the Hub's cache that holds the wanted files of a repository; offline, what is
    there from an earlier time.

    Args:
        files: names or patterns.
        kind: ``model`` or ``dataset``.

    Raises:
        HubError: they cannot be had; the text says why.
    """
    try:
        folder = snapshot_download(
            repo_id,
            repo_type=kind,
            revision=revision,
            token=token,
            allow_patterns=list(files),
            local_files_only=not answers(),
        )
    except CLIENT_ERRORS as error:
        raise HubError(why(error) or first_line(error)) from error
    return Path(folder)


def check_closed(repo_id: str, token: str | bool | None = None) -> None:
    """See that what is pushed to a model repository as private will be: one that is there stays as
    open as it is.

    Raises:
        HubError: it is there and open to all, or its id does not say whose it is.
    """
    if "/" not in repo_id:
        raise HubError("that has not the form of a Hub id, owner/name")
    try:
        found = model_info(repo_id, token=token)
    except RepositoryNotFoundError:
        return
    if not found.private:
        raise HubError(
            "that repository is there already and open to all; make it private on its page, or"
            " choose another name"
        )


def why(error: BaseException) -> str | None:
    """What the Hub or the way to it has to do with an error, as a clause for a sentence; None where
    it has nothing to do with it.
    """
    links = list(_causes(error))
    for link in links:
        if reason := _refusal(link):
            return reason
    sought = any(isinstance(link, LocalEntryNotFoundError) for link in links)
    cache = "it is not in the local cache, and " if sought else ""
    if any(isinstance(link, OfflineModeIsEnabled) for link in links) or (
        sought and settings.offline()
    ):
        return f"{cache}HF_HUB_OFFLINE forbids to ask the Hub"
    if sought or any(
        isinstance(link, HTTPError) and not isinstance(link, EntryNotFoundError)
        for link in links
    ):
        return f"{cache}{constants.ENDPOINT} cannot be reached"
    return None


def _refusal(error: BaseException) -> str | None:
    """What the Hub answered."""
    if isinstance(error, GatedRepoError):
        return (
            "its owner admits only users who asked for access; ask on its page, then run: hf auth"
            " login"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            "there is no such repository, or it is private and this login does not open it; run hf"
            " auth login, or set HF_TOKEN"
        )
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision"
    if isinstance(error, HFValidationError):
        return "that has not the form of a Hub id, owner/name"
    if isinstance(error, HfHubHTTPError) and not isinstance(error, EntryNotFoundError):
        return _status(error)
    return None


def _status(error: HfHubHTTPError) -> str:
    said = (
        f" ({error.server_message.strip().rstrip('.')})" if error.server_message else ""
    )
    if error.response.status_code == 401:
        if "authorization" not in error.response.request.headers:
            return "nobody is logged in; run hf auth login, or set HF_TOKEN"
        return f"the Hub does not accept this login{said}; run hf auth login, or set HF_TOKEN"
    if error.response.status_code == 403:
        return f"the Hub forbids it to this login{said}"
    return (
        f"{constants.ENDPOINT} answered with status {error.response.status_code}{said}; try again"
        " later"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
