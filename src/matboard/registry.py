"""Names to things: lazy, open to other packages, and helpful when a name is wrong.

A registry maps a name to ``"module:attribute"``. Nothing is imported until it is asked for, so
listing names never loads torch. Installed packages add names of their own by entry points; a name
that two of them claim is refused. What a name stands for says itself, by its signature, which
options it has.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from matboard.errors import ConfigError, UnknownName
from matboard.extras import needed
from matboard.wording import wrong

OWN_PACKAGE = "matboard"


@dataclass(frozen=True)
class Entry:
    """What a name stands for.

    Attributes:
        target: ``"package.module:attribute"``.
        package: the distribution that brings it, as pip names it.
    """

    target: str
    package: str


class Registry(Mapping[str, str]):
    """A table of names.

    Args:
        kind: what the names are, for error messages (``"task"``).
        entries: name → ``"package.module:attribute"``.
        group: the entry-point group by which other packages add names; none: the table is closed.
    """

    def __init__(
        self, kind: str, entries: Mapping[str, str], group: str | None = None
    ) -> None:
        self.kind = kind
        self.group = group
        self._own = dict(entries)

    def __getitem__(self, name: str) -> str:
        return self._entry(name).target

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str) -> Any:
        """Import and return what ``name`` stands for.

        Raises:
            UnknownName: no such name.
            MissingExtra: it needs a library that is not installed.
            ConfigError: another package's entry cannot be imported.
        """
        entry = self._entry(name)
        module, _, attribute = entry.target.partition(":")
        if entry.package == OWN_PACKAGE:
            with needed():
                return getattr(importlib.import_module(module), attribute)
        try:
            with needed():
                return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, SyntaxError, ValueError) as error:
            raise ConfigError(
                f"The {self.kind} {name!r} of the package {entry.package} cannot be loaded from"
                f" {entry.target!r}: {error}. Update the package or uninstall it."
            ) from error

    def options(self, name: str) -> dict[str, Any]:
        """Option → type: the keyword-only arguments of what ``name`` stands for. Raises like
        `load`.
        """
        return options_of(self.load(name))

    def package(self, name: str) -> str:
        """The distribution that brings ``name``. Raises UnknownName."""
        return self._entry(name).package

    def _entry(self, name: str) -> Entry:
        if name not in self._entries:
            raise UnknownName(self.kind, name, self._entries)
        return self._entries[name]

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        """Our own names, then those of other packages. Raises ConfigError for a name claimed
        twice.
        """
        found = {}
        for name, target in self._own.items():
            found[name] = Entry(target, OWN_PACKAGE)
        outside = entry_points(group=self.group) if self.group else ()
        for point in sorted(outside, key=_order):
            package = _package(point)
            if point.name in found:
                first = found[point.name].package
                raise ConfigError(
                    f"The packages {first} and {package} both bring a {self.kind} named"
                    f" {point.name!r} (entry-point group {self.group}). Uninstall {package}, or ask"
                    " its authors for another name."
                )
            found[point.name] = Entry(point.value, package)
        return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "of unknown name"


def _order(point: EntryPoint) -> tuple[str, str]:
    return _package(point), point.name


def options_of(target: Any) -> dict[str, Any]:
    """Option → type: a constructor's or function's keyword-only arguments.

    What is positional is handed over by the program and is no option. An argument may narrow its
    type: ``Annotated[int, Field(ge=1)]``.
    """
    signature = inspect.signature(target)
    called = target.__init__ if inspect.isclass(target) else target
    hints = get_type_hints(called, include_extras=True)
    found = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            found[name] = hints.get(name, Any)
    return found


def check_options(
    asked: Mapping[str, Any], schema: Mapping[str, Any], owner: str, prefix: str = ""
) -> dict[str, Any]:
    """Options converted to the types of a schema.

    Args:
        schema: option → type; see `Registry.options`.
        owner: whose options they are, for error messages (``"learner 'l2p'"``).
        prefix: what stands before an option's name in the configuration
            (``"objective.semantic_enrichment."``), so that an error names the key in full.

    Raises:
        UnknownName: an option that the schema does not have.
        ConfigError: a value that is not of the option's type, or not finite.
    """
    checked = {}
    for name, value in asked.items():
        if name not in schema:
            full_names = [prefix + option for option in schema]
            raise UnknownName(f"option of {owner}", f"{prefix}{name}", full_names)
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(schema[name], config=_FINITE)
            checked[name] = adapter.validate_python(value)
        except ValidationError as error:
            reason = wrong(dict(error.errors(include_url=False)[0]))
            raise ConfigError(
                f"Option {prefix + name!r} of {owner}: {reason}."
            ) from None
    return checked


_FINITE = ConfigDict(allow_inf_nan=False)
