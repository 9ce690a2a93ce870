"""Numbers and counts in words: how every page and table says them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matboard.results.parts import Decision

MARKS: dict[Decision, str] = {"better": "▲", "worse": "▼", "undecided": ""}
STYLES: dict[Decision, str] = {
    "better": "bold blue",
    "worse": "bold yellow",
    "undecided": "",
}
"""Of marked values in a terminal."""

ENOUGH_SEEDS = 3
"""Every claim of "better" stands on at least so many seeds (a rule of this project)."""
ERROR_RATE = 0.05
"""Of a 95 % interval."""
SUFFIXES = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Verdict:
    """What a table says: its lead, lines on what stands behind it, and what was counted in full."""

    lead: str
    lines: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()


def plural(count: int, one: str) -> str:
    """``"1 seed"``, ``"3 seeds"``."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def join(words: Sequence[str]) -> str:
    """``"a"``, ``"a and b"``, ``"a, b and c"``."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def fixed(value: float | None, digits: int = 3) -> str:
    """``0.612``, with a true minus and no minus before zero; a dash where there is no number."""
    if value is None:
        return "–"
    return f"{value:z.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """``+0.020`` or ``−0.020``, with a true minus; a dash where there is no number."""
    if value is None:
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """``12 %``; what is there at all is never called 0 %."""
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """``2 min 05 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes as ``456 B``, ``12.3 kB``, ``1.2 GB``; a kilobyte has 1000."""
    power = 0
    while count >= 1000 and power < len(SUFFIXES) - 1:
        count = count / 1000
        power = power + 1
    digits = 0 if power == 0 or count >= 100 else 1
    return f"{count:.{digits}f} {SUFFIXES[power]}"


def looks_decided(comparisons: int) -> str:
    """How many of so many intervals exclude zero where nothing differs."""
    return f"about {max(1, round(ERROR_RATE * comparisons))} would look decided by chance alone"
