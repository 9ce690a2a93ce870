"""What a study says of its own settings."""

from matboard.studies.config import StudyConfig
from matboard.studies.study import balance_notes, resolve_method


def notes(consistency: float, enrichment: float) -> list[str]:
    config = StudyConfig(
        sources=["m"],
        task={"name": "t"},
        guide="g",
        methods={"tvp": {"consistency_weight": 0.0002, "enrichment_weight": 0.5}, "evp": {}},
    )
    pull = {
        "task_loss": 4.0,
        "feature_consistency": 4.0 * consistency,
        "semantic_enrichment": 4.0 * enrichment,
    }
    far = {"task_loss": 1.0, "feature_consistency": 1e4, "semantic_enrichment": 0.0}
    rows = [
        {"run": "tvp-s0", "gradient_norm": pull},
        {"run": "tvp-s1", "gradient_norm": pull},
        {"run": "tvp-s1", "gradient_norm": far},
    ]
    rows += [
        {"run": "tvp-s0", "gradient_norm": {"total": 1.0}},
        {"run": "evp-s0", "gradient_norm": {"task_loss": 1.0}},
    ]
    assert balance_notes(resolve_method(config, "evp"), rows) == []
    return balance_notes(resolve_method(config, "tvp"), rows)


def test_terms_in_proportion_need_no_note():
    assert notes(0.01, 10.0) == []


def test_a_term_that_hardly_counts_or_drowns_the_task_is_named():
    assert notes(25.0, 0.0007) == [
        (
            "tvp: feature consistency pulls on the prompt with 25 times the task's gradient (median"
            " over logged steps), so the task hardly counts; methods.tvp.consistency_weight is"
            " 0.0002."
        ),
        (
            "tvp: enrichment pulls on the prompt with 0.0007 times the task's gradient (median over"
            " logged steps), so it hardly counts; methods.tvp.enrichment_weight is 0.5."
        ),
    ]
