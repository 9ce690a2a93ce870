"""What was measured, with its uncertainty; numpy only."""

from matboard.metrics.accuracy_matrix import (
    BACKWARD_TRANSFERS,
    FORGETTINGS,
    AccuracyMatrix,
)
from matboard.metrics.answers import generation_correct
from matboard.metrics.intervals import (
    Estimate,
    difference_over_seeds,
    estimate,
    mean_over_seeds,
    of_mean,
    paired_difference,
    wilson,
)
from matboard.metrics.metric import Metric
from matboard.metrics.pooled import Compared, pooled_difference
from matboard.metrics.scores import METRICS, credit, score, tied_candidates
from matboard.metrics.streams import StreamHits, stream_difference, stream_estimate
from matboard.metrics.unpaired import unpaired_difference
from matboard.metrics.vqa import vqa_credit

__all__ = [
    "BACKWARD_TRANSFERS",
    "FORGETTINGS",
    "METRICS",
    "AccuracyMatrix",
    "Compared",
    "Estimate",
    "Metric",
    "StreamHits",
    "credit",
    "difference_over_seeds",
    "estimate",
    "generation_correct",
    "mean_over_seeds",
    "of_mean",
    "paired_difference",
    "pooled_difference",
    "score",
    "stream_difference",
    "stream_estimate",
    "tied_candidates",
    "unpaired_difference",
    "vqa_credit",
    "wilson",
]
