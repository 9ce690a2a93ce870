"""Names to things: closed, lazy, and helpful when a name is wrong.

A registry maps a name to ``"module:attribute"``; nothing is imported until it is asked for, so
listing names never loads torch. The constructor's own signature is the schema of its options.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from matboard.errors import ConfigError, UnknownName


class Registry(Mapping[str, str]):
    """A closed table of names.

    Args:
        kind: what the names are, for error messages (``"task"``).
        entries: name → ``"package.module:attribute"``.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str) -> Any:
        """Import and return what ``name`` stands for. Raises UnknownName."""
        module, _, attribute = self[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def build(self, name: str, **options: Any) -> Any:
        """Call what ``name`` stands for; a wrong option is a ConfigError that lists the right ones."""
        target = self.load(name)
        known = list(inspect.signature(target).parameters)
        for key in options:
            if key not in known:
                wrong = UnknownName(f"option of {self.kind} {name!r}", key, known)
                raise ConfigError(str(wrong))
        return target(**options)
