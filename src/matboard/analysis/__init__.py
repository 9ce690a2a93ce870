"""What a learned prompt does, as data: numpy only, no drawing."""

from matboard.analysis.selection import Relation, Selection, pooled, selection

__all__ = ["Relation", "Selection", "pooled", "selection"]
