"""A search and a comparison of costs, made by hand."""

from __future__ import annotations

from pathlib import Path

from matboard.results.cost import Cost, CostResults
from matboard.results.search import Look, SearchResults, Trial
from matboard.runs import Run


def made_search() -> SearchResults:
    """Four trials of a number over a logarithm, a number, and a word; the second is the best."""
    ranges = {
        "methods.tvp.lr": {"low": 1.0, "high": 100.0, "log": True},
        "prompt.width": {"low": 10, "high": 50, "step": 10},
        "methods.tvp.diversity": {"values": [True, False]},
    }
    tried = [
        (3.0, 10, True, "complete", 0.5),
        (30.0, 20, False, "complete", 0.75),
        (90.0, 50, True, "pruned", 0.25),
        (10.0, 30, True, "failed", None),
    ]
    trials = []
    for number, (lr, width, diversity, state, score) in enumerate(tried):
        values = dict(zip(ranges, (lr, width, diversity), strict=True))
        looks = () if score is None else (Look(step=5, score=score),)
        trials.append(
            Trial(number=number, state=state, values=values, score=score, looks=looks)
        )
    return SearchResults(
        title="A search",
        variant="tvp",
        scored="best",
        validation={},
        ranges=ranges,
        seed=0,
        pruner="median",
        trials=tuple(trials),
        best=1,
    )


def made_cost() -> CostResults:
    """Two ways on a model of a thousand weights."""
    border = Cost(
        name="border",
        trainable=100,
        share=0.1,
        seconds=0.5,
        fastest=0.4,
        slowest=0.8,
        over_border=1.0,
        memory=2_000_000,
        optimiser=0,
        kept=1_200,
        kept_for_all=1_200,
    )
    other = border.model_copy(
        update={
            "name": "full fine-tuning",
            "trainable": 1_000,
            "share": 1.0,
            "seconds": 1.0,
            "slowest": 1.1,
            "over_border": 2.0,
            "optimiser": 8_000,
            "kept": 4_000,
            "kept_for_all": 24_000,
        }
    )
    return CostResults(
        title="What a border costs",
        model="small",
        weights=1_000,
        batch=8,
        rounds=3,
        models=6,
        device="cpu",
        threads=1,
        torch="2.13.0",
        costs=(border, other),
    )


def write_run(folder: Path, results: SearchResults | CostResults) -> None:
    """A run folder that holds them."""
    folder.mkdir()
    Run(folder).write_results(results.as_json())
