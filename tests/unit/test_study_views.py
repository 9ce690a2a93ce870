"""What a study was made to ask: which views its results have, and what stands in them."""

from __future__ import annotations

from study_results import learned, table

from matboard.report import study_views
from matboard.report.plain_table import PlainTable, as_markdown
from matboard.results.transfer import TransferResults

MEAN_OF_BC = 0.1
"""What the first prompt gains on models b and c."""


def rows(shown: PlainTable) -> dict[str, list[str]]:
    return {name: [cell.words for cell in cells] for name, cells in shown.rows}


def slugs(results: TransferResults) -> list[str]:
    return [view.slug for view in study_views(results)]


def test_a_study_that_varied_nothing_has_no_view() -> None:
    assert slugs(table([learned("tvp"), learned("evp", method="evp")])) == []


def swept(key: str, values: list[float], width: bool = False) -> TransferResults:
    methods = []
    for method in ("evp", "tvp"):
        for number in values:
            methods.append(
                learned(
                    f"{method}@{key}={number}",
                    width=int(number) if width else 30,
                    method=method,
                    swept={key: number},
                )
            )
    return table(methods)


def test_a_swept_number_has_curves_with_bands_and_a_table_a_group() -> None:
    (view,) = study_views(swept("task.train", [16, 64, 256]))
    assert view.slug == "task-train" and view.title == "Over training pictures"
    source, *_ = view.tables
    assert source.heads == ("training pictures", "16", "64", "256")
    assert rows(source) == {
        "EVP": ["+0.200 ▲", "+0.210 ▲", "+0.220 ▲"],
        "TVP": ["+0.230 ▲", "+0.240 ▲", "+0.250 ▲"],
    }
    assert source.rows[0][1][0].below == "[+0.160, +0.240]"
    titles = [drawing.title for drawing in view.drawings]
    assert titles[:2] == [
        "accuracy, source (1 model)",
        "gain, source (1 model)",
    ]
    assert view.drawings[0].legend == {"EVP": 0, "TVP": 1}
    assert len(titles) == 8  # two a group: source, same, other, unseen


def test_each_width_has_its_own_shrunk_picture_beside_it() -> None:
    (view,) = study_views(swept("prompt.width", [10, 30], width=True))
    accuracy = view.drawings[0].svg
    assert "the untouched picture" in accuracy and "the shrunk one" in accuracy


def test_one_value_or_words_make_no_curve() -> None:
    assert slugs(swept("lr", [3.0])) == []
    methods = [
        learned(f"tvp@schedule={word}", swept={"schedule": word})
        for word in ("cosine", "constant")
    ]
    assert slugs(table(methods)) == []


def test_two_swept_numbers_are_a_line_for_each_value_of_the_other() -> None:
    methods = [
        learned(f"tvp@{lr},{steps}", swept={"lr": lr, "steps": steps})
        for lr in (1.0, 3.0)
        for steps in (10, 20)
    ]
    over_lr, over_steps = study_views(table(methods))
    assert [name for name, _ in over_lr.tables[0].rows] == [
        "TVP, steps 10",
        "TVP, steps 20",
    ]
    assert [name for name, _ in over_steps.tables[0].rows] == [
        "TVP, lr 1.0",
        "TVP, lr 3.0",
    ]


def test_an_ablation_lists_the_terms_and_what_they_gain() -> None:
    both = {"task_loss": 1.0, "feature_consistency": 0.002, "semantic_enrichment": 2.0}
    without = {"task_loss": 1.0, "feature_consistency": 0.002}
    methods = [
        learned("none", terms={"task_loss": 1.0}),
        learned("fca", terms=without),
        learned("both", terms=both),
    ]
    (view,) = study_views(table(methods))
    assert view.slug == "terms"
    (shown,) = view.tables
    assert shown.heads[:4] == (
        "learned with",
        "task loss",
        "feature consistency (FCA)",
        "semantic enrichment (TSE)",
    )
    assert rows(shown)["FCA"][:4] == ["1", "0.002", "–", "+0.210 ▲"]
    assert rows(shown)["BOTH"][:4] == ["1", "0.002", "2", "+0.220 ▲"]


def test_an_ensemble_is_compared_on_what_it_was_not_learned_on() -> None:
    methods = [
        learned("joint", sources=("a", "b")),
        learned("single", sources=("a",)),
    ]
    (view,) = study_views(table(methods))
    assert view.slug == "sources"
    shown = rows(view.tables[0])
    assert list(shown)[-2:] == ["a: SINGLE", "a and b: JOINT"]  # ensembles last
    assert shown["a: SINGLE"] == ["0.610 †", "0.510", "0.510", "+0.110 ▲"]
    assert shown["a and b: JOINT"] == ["0.600 †", "0.500 †", "0.500", "+0.100 ▲"]
    assert shown["untouched"][:3] == ["0.400", "0.400", "0.400"]


def test_prompts_of_several_tasks_are_a_matrix() -> None:
    methods = [
        learned(f"tvp@task.name={task}", task=task, swept={"task.name": task})
        for task in ("t", "u")
    ]
    (view,) = study_views(table(methods, tasks=("t", "u")))
    assert view.slug == "across"
    source = view.tables[0]
    assert source.heads == ("learned on", "t", "u")
    assert rows(source) == {
        "TVP on t": ["+0.200 ▲ ◦", "+0.200 ▲"],
        "TVP on u": ["+0.210 ▲", "+0.210 ▲ ◦"],
    }


KINDS = ("fog", "snow", "contrast")
CORRUPTED = ("t", *(f"t/{kind}-{severity}" for kind in KINDS for severity in (1, 5)))


def test_tasks_with_prompts_of_their_own_have_a_line_each() -> None:
    methods = [learned("evp", method="evp", task=None), learned("tvp", task=None)]
    (view,) = study_views(table(methods, tasks=("t", "u")))
    assert view.slug == "tasks"
    source, *_ = view.tables
    assert source.heads == ("task", "EVP", "TVP")
    assert rows(source) == {
        "t": ["+0.200 ▲", "+0.210 ▲"],
        "u": ["+0.200 ▲", "+0.210 ▲"],
    }


def test_corruptions_are_changes_to_the_untouched_picture_by_kind() -> None:
    (view,) = study_views(table([learned("evp"), learned("tvp")], tasks=CORRUPTED))
    assert view.slug == "corruptions"
    same = next(shown for shown in view.tables if "sharing" in shown.title)
    found = rows(same)
    assert list(found) == [*KINDS, "mean over kinds"]
    assert found["fog"] == ["0.340", "+0.100", "+0.110"]  # 0.4 less 0.02 and less 0.1
    assert found["mean over kinds"] == ["0.340", "+0.100", "+0.110"]
    curves, changes = view.drawings[:2]
    assert "severity" in curves.svg and changes.title.startswith("change")


def test_the_mean_over_kinds_is_that_of_a_loop() -> None:
    results = table([learned("tvp")], tasks=CORRUPTED[1:])
    cells = results.by_place("ranking")
    by_kind = []
    for kind in KINDS:
        own = []
        for severity in (1, 5):
            task = f"t/{kind}-{severity}"
            ours, full = cells["b", task, "tvp"], cells["b", task, "full"]
            own.append((ours.value or 0) - (full.value or 0))
        by_kind.append(sum(own) / 2)
    (view,) = study_views(results)
    same = next(shown for shown in view.tables if "sharing" in shown.title)
    assert rows(same)["mean over kinds"][1] == f"+{sum(by_kind) / 3:.3f}"


def test_a_table_of_words_is_markdown_too() -> None:
    (view,) = study_views(swept("lr", [1.0, 3.0]))
    lines = as_markdown(view.tables[0]).splitlines()
    assert lines[0] == "| learning rate | 1 | 3 |" and lines[1] == "| --- | --- | --- |"
    assert lines[2] == "| EVP | +0.200 ▲ [+0.160, +0.240] | +0.210 ▲ [+0.170, +0.250] |"
