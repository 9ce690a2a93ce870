"""What a learned prompt does, as data: numpy only, no drawing."""

from matboard.analysis.selection import Selection, selection

__all__ = ["Selection", "selection"]
