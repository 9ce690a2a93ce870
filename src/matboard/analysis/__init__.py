"""What a learned prompt does, as data and not as drawings: by numpy and scikit-learn, gradients by
torch.
"""

from matboard.analysis.features import drift, embed, silhouette, spread
from matboard.analysis.selection import Relation, Selection, pooled, selection

__all__ = [
    "Relation",
    "Selection",
    "drift",
    "embed",
    "pooled",
    "selection",
    "silhouette",
    "spread",
]
