"""What was measured, with its uncertainty; numpy only."""

from matboard.metrics.accuracy_matrix import AccuracyMatrix
from matboard.metrics.answers import GenerationScore, generation_correct, generation_score
from matboard.metrics.intervals import (
    Estimate,
    difference_over_seeds,
    estimate,
    mean_over_seeds,
    paired_difference,
    wilson,
)
from matboard.metrics.scores import accuracy, auc, correct, f1, score
from matboard.metrics.streams import StreamHits, stream_difference, stream_estimate

__all__ = [
    "AccuracyMatrix",
    "Estimate",
    "GenerationScore",
    "StreamHits",
    "accuracy",
    "auc",
    "correct",
    "difference_over_seeds",
    "estimate",
    "f1",
    "generation_correct",
    "generation_score",
    "mean_over_seeds",
    "paired_difference",
    "score",
    "stream_difference",
    "stream_estimate",
    "wilson",
]
