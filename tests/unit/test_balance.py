"""What is said of terms that hardly pull on the prompt, or drown the task."""

from matboard.transfer import terms
from matboard.transfer.balance import balance_notes

OBJECTIVE = terms.objective(
    {"feature_consistency": {"weight": 0.0002}, "semantic_enrichment": {"weight": 0.5}}
)


def notes(consistency: float, enrichment: float) -> list[str]:
    pull = {
        "task_loss": 4.0,
        "feature_consistency": 4.0 * consistency,
        "semantic_enrichment": 4.0 * enrichment,
    }
    far = {"task_loss": 1.0, "feature_consistency": 1e4, "semantic_enrichment": 0.0}
    undiagnosed = {"total": 1.0}
    norms = [pull, pull, far, undiagnosed]
    return balance_notes(OBJECTIVE, norms, label="tvp", key="methods.tvp.objective")


def test_terms_in_proportion_need_no_note():
    assert notes(0.01, 10.0) == []


def test_without_diagnosed_steps_nothing_is_known():
    assert (
        balance_notes(OBJECTIVE, [{"total": 1.0}], label="tvp", key="objective") == []
    )


def test_the_task_loss_alone_is_in_proportion():
    norms = [{"task_loss": 1.0, "total": 1.0}]
    assert balance_notes(terms.objective({}), norms, label="evp", key="objective") == []


def test_a_term_that_hardly_counts_or_drowns_the_task_is_named():
    assert notes(25.0, 0.0007) == [
        "tvp: feature consistency pulls on the prompt with 25 times the task's gradient (median"
        " over logged steps), so the task hardly counts;"
        " methods.tvp.objective.feature_consistency.weight is 0.0002.",
        "tvp: semantic enrichment pulls on the prompt with 0.0007 times the task's gradient (median"
        " over logged steps), so it hardly counts;"
        " methods.tvp.objective.semantic_enrichment.weight is 0.5.",
    ]
