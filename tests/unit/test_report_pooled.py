"""Gains over several models and tasks: how tables, sentences and the terminal tell them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from made_transfer import FULL, TASKS, baselines, method, models, tasks
from rich.console import Console

from matboard.report.run_folder import RunFolder
from matboard.report.transfer.cards import MOST_CARDS, prompt_cards
from matboard.report.transfer.pooled import in_words, pooled_tables, who_gains
from matboard.report.transfer.text import transfer_table_text
from matboard.report.transfer.verdict import verdict
from matboard.results.parts import Difference
from matboard.results.shown import PromptFacts
from matboard.results.transfer import (
    Cell,
    Condition,
    Contrast,
    TransferResults,
)

BETTER = Difference(value=0.1, low=0.05, high=0.15, n=100)
WORSE = BETTER.turned
UNDECIDED = Difference(value=0.01, low=-0.1, high=0.12, n=100)
BOUND = Condition(
    name="itself", label="TVP learned on itself", role="bound", seeds=(0,)
)
COUNTS = {"source": 1, "same": 3, "other": 2, "unseen": 5}


def contrasts(
    gains: dict[str, dict[str, Difference]], scorer: str = "ranking", **more: object
) -> list[Contrast]:
    """Method → group → its gain; ``tvp − evp`` is one method against another."""
    made = []
    for name, by_group in gains.items():
        own, _, against = name.partition(" − ")
        for group, difference in by_group.items():
            made.append(
                Contrast(
                    scorer=scorer,
                    group=group,
                    method=own,
                    against=against or None,
                    models=COUNTS[group],
                    pairs=3 * COUNTS[group],
                    seeds=3,
                    difference=difference,
                    **more,
                )
            )
    return made


RANKED = {
    "evp": {"source": BETTER, "same": UNDECIDED, "other": WORSE, "unseen": UNDECIDED},
    "tvp": {"source": BETTER, "same": BETTER, "other": UNDECIDED, "unseen": BETTER},
    "itself": dict.fromkeys(COUNTS, BETTER),
    "tvp − evp": dict.fromkeys(COUNTS, UNDECIDED),
}


def results(made: list[Contrast]) -> TransferResults:
    shown = [FULL, *baselines(), method("evp"), method("tvp"), BOUND]
    place = {"task": next(iter(TASKS)), "model": models()[0].name}
    cells = []
    for scorer in dict.fromkeys(one.scorer for one in made):
        cells.append(
            Cell(condition="full", scorer=scorer, metric="accuracy", n=9, **place)
        )
    return TransferResults(
        models=models(),
        tasks=tasks(),
        conditions=tuple(shown),
        cells=tuple(cells),
        contrasts=tuple(made),
    )


def test_groups_are_columns_and_methods_rows() -> None:
    made = contrasts(RANKED) + contrasts(RANKED, task=next(iter(TASKS)))
    whole, first = pooled_tables(results(made))
    assert (whole.task, first.task) == (None, next(iter(TASKS)))
    assert [models for _, models in whole.heads] == [1, 3, 2, 5]
    assert [row.label for row in whole.gains] == ["EVP", "TVP", "TVP learned on itself"]
    (pair,) = whole.pairs
    assert pair.label == "TVP − EVP"
    assert pair.contrasts["other"].difference == UNDECIDED
    assert whole.intervals == 4 * 4
    assert (whole.seeds, whole.enough_seeds) == (3, True)


def test_the_verdict_says_who_gains_group_by_group() -> None:
    found = results(contrasts(RANKED))
    expected = (
        "On the source EVP and TVP gain; on models that share the source’s encoder TVP gains, EVP"
        " is undecided; on models with another encoder EVP loses, TVP is undecided."
    )
    assert who_gains(found, found.methods) == expected
    assert who_gains(found, found.methods[:1]).startswith("On the source EVP gains; on")
    two = found.model_copy(update={"sources": ("a", "b")})
    said = who_gains(two, two.methods)
    assert said.startswith(
        "On the sources EVP and TVP gain; on models that share a source’s"
    )


def test_the_largest_gain_on_unseen_models_is_told_with_its_interval() -> None:
    best, bound = in_words(results(contrasts(RANKED)), results([]).methods)
    assert best.startswith(
        "Mean gain of TVP (of 2 methods the one with the largest) over each model’s best"
        " baseline, 3 tasks, by ranking: +0.100 [+0.050, +0.150] on the source, a decided gain;"
    )
    assert "+0.010 [−0.100, +0.120] on models with another encoder, undecided" in best
    assert bound.startswith("Beside it TVP learned on itself, which transfer cannot be")


def test_a_gain_by_ranking_that_generation_loses_is_said() -> None:
    lost = {"tvp": {"source": WORSE, "same": UNDECIDED}, "evp": {"source": BETTER}}
    made = contrasts(RANKED) + contrasts(lost, "generation", unparsable=0.92)
    *_, last = in_words(results(made), results([]).methods)
    assert last == (
        "TVP wins by ranking what it loses by generation on the source:"
        " +0.100 [+0.050, +0.150] against −0.100 [−0.150, −0.050], with 92 % unparsable answers."
    )
    (row,) = [
        row
        for row in pooled_tables(results(made))[0].gains
        if (row.label, row.scorer) == ("TVP", "generation")
    ]
    assert row.contrasts["source"].unparsable == 0.92


def test_the_terminal_shows_both_scorers_and_what_cannot_be_parsed() -> None:
    lost = {"tvp": {"source": WORSE, "same": UNDECIDED}}
    made = contrasts(RANKED) + contrasts(lost, "generation", unparsable=0.92)
    out = io.StringIO()
    Console(file=out, width=80).print(transfer_table_text(results(made)))
    lines = [line.strip() for line in out.getvalue().splitlines()]
    (title,) = [line for line in lines if line.startswith("Mean gain over")]
    assert title == "Mean gain over the best baseline of each model, 3 tasks, 3 seeds"
    assert any("+0.100▲" in line and line.startswith("TVP") for line in lines)
    assert any("by generation" in line and "−.15 to −.05" in line for line in lines)
    assert any("?92 %" in line for line in lines)
    assert any(line.startswith("TVP − EVP") for line in lines)
    assert sum(line == "by generation" for line in lines) == 0


def test_below_three_seeds_the_verdict_claims_nothing_of_methods() -> None:
    found = results(contrasts(RANKED))
    few = tuple(
        c.model_copy(update={"seeds": (0,)}) if c.role == "method" else c
        for c in found.conditions
    )
    said = verdict(found.model_copy(update={"conditions": few}))
    assert not said.counted
    assert "gain" not in said.lead


@pytest.mark.parametrize(("seeds", "shown"), [(8, 24), (9, 24), (30, 24)])
def test_of_many_prompts_as_many_of_each_kind_have_a_card(
    seeds: int, shown: int, tmp_path: Path
) -> None:
    prompts = []
    for name in ("evp", "tvp", "itself"):
        for seed in range(seeds):
            prompts.append(
                PromptFacts(condition=name, seed=seed, folder="p", geometry="border")
            )
    run = RunFolder(tmp_path, None, {}, None, (), None)
    found = results([]).model_copy(update={"prompts": tuple(prompts)})
    names = [card.name for card in prompt_cards(run, found)]
    assert len(names) == shown == MOST_CARDS
    assert names[0] == "EVP, seed 0" and names[-1] == "TVP learned on itself, seed 7"
