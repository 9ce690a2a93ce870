"""The terms against loops written from the paper's equations, and an objective from words."""

import math
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest
import torch

from matboard import registry
from matboard.errors import ConfigError, UnknownName
from matboard.tasks.task import Sample
from matboard.transfer import passes, terms
from matboard.transfer.methods import METHODS
from matboard.transfer.objective import Objective
from matboard.transfer.terms.candidate_contrast import CandidateContrast, contrast
from matboard.transfer.terms.feature_consistency import FeatureConsistency, distance
from matboard.transfer.terms.semantic_enrichment import SemanticEnrichment, similarity
from matboard.transfer.terms.task_loss import TaskLoss
from matboard.transfer.terms.term import CanvasTerm, Term

TVP = METHODS["tvp"].objective


def features(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)


# -- equations


def test_consistency_is_half_the_squared_distance_of_eq_4():
    prompted = features(0)
    clean = features(1)
    expected = 0.0
    for a, b in zip(prompted.flatten().tolist(), clean.flatten().tolist()):
        expected += 0.5 * (a - b) ** 2
    assert float(distance(prompted, clean, "half_squared")) == pytest.approx(
        expected, rel=1e-5
    )


def test_consistency_of_the_code_is_a_mean_over_tokens_of_plain_norms():
    prompted = features(0)
    clean = features(1)
    expected = 0.0
    for sample in range(3):
        for token in range(4):
            moved = (prompted - clean)[sample, token].tolist()
            expected += math.sqrt(sum(x * x for x in moved)) / 4
    assert float(distance(prompted, clean, "l2_mean_tokens")) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("form", ["half_squared", "l2_mean_tokens"])
def test_unmoved_features_cost_nothing_and_have_a_finite_gradient(form):
    clean = features(0).float()
    prompted = clean.clone().requires_grad_()
    loss = distance(prompted, clean, form)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(prompted.grad, torch.zeros_like(clean))


def test_enrichment_by_hand():
    image = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    text = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    scaled = similarity(image, text, 2.0, "scaled_cosine")
    exponential = similarity(image, text, 2.0, "exponential")
    assert float(scaled) == pytest.approx(2 * 1 + 2 * 0.96)
    assert float(exponential) == pytest.approx(math.exp(2) + math.exp(1.92))


# -- an objective from configuration


class Seen(passes.ModelPass):
    """A pass over samples whose scores are given: name of a candidate → its score."""

    samples = ()

    def __init__(self, samples, scores, candidates):
        self.samples = samples
        self.candidates = candidates
        rows = [[scores[name] for name in listed] for listed in candidates]
        self.candidate_scores = torch.tensor(rows, dtype=torch.float64)


def naming(answer, names, accepted=()):
    return Sample("s", lambda: None, "what?", answer, names, accepted=accepted)


def test_contrast_is_cross_entropy_over_the_candidates():
    scores = features(0)[0]
    right = torch.zeros_like(scores, dtype=torch.bool)
    expected = 0.0
    for row, label in enumerate([2, 0, 4, 1]):
        right[row, label] = True
        listed = scores[row].tolist()
        total = sum(math.exp(score) for score in listed)
        expected -= math.log(math.exp(listed[label]) / total)
    assert float(contrast(scores, right).sum()) == pytest.approx(expected, rel=1e-9)


def test_any_right_answer_will_do_and_missing_candidates_do_not_count():
    scores = torch.tensor([[1.0, 2.0, 0.5, -math.inf]])
    right = torch.tensor([[True, False, True, False]])
    won = math.exp(1.0) + math.exp(0.5)
    expected = -math.log(won / (won + math.exp(2.0)))
    assert float(contrast(scores, right).sum()) == pytest.approx(expected, rel=1e-5)


def test_drawn_candidates_stand_for_those_left_out():
    names = tuple("abcdefgh")
    scores = {name: 0.3 * place for place, name in enumerate(names)}
    sample = naming("c", names)
    whole = sum(math.exp(score) for score in scores.values())
    totals = []
    for draw in range(4000):
        listed = passes._drawn(sample, 4, draw / 4000)
        assert len(set(listed)) == 4
        assert "c" in listed
        seen = Seen([sample], scores, [listed])
        loss = CandidateContrast(weight=1.0, most=4).value(seen)
        totals.append(math.exp(float(loss) + scores["c"]))
    assert sum(totals) / len(totals) == pytest.approx(whole, rel=0.01)


def test_few_candidates_are_all_compared():
    sample = naming("c", ("a", "b", "c"))
    assert passes._drawn(sample, 3, 0.7) == ("a", "b", "c")


def test_one_candidate_is_nothing_to_compare():
    with pytest.raises(ConfigError, match=r"most is 1; expected at least 2 candidates"):
        CandidateContrast(weight=1.0, most=1)


def test_without_words_it_is_the_task_loss_alone():
    assert terms.resolve({}) == {
        "task_loss": {"weight": 1.0, "form": "sample_sum", "terminator": False}
    }
    assert Objective().record() == terms.resolve({})


def test_presets_say_where_paper_and_code_differ():
    assert terms.resolve({"preset": "paper", **TVP}) == {
        "task_loss": {"weight": 1.0, "form": "sample_sum", "terminator": False},
        "feature_consistency": {
            "weight": 0.005,
            "form": "half_squared",
            "tap": "vision",
            "reference": "full",
        },
        "semantic_enrichment": {
            "weight": 0.001,
            "form": "exponential",
            "temperature": 1.0,
        },
    }
    assert terms.resolve({"preset": "authors-code", **TVP}) == {
        "task_loss": {"weight": 1.0, "form": "token_mean", "terminator": True},
        "feature_consistency": {
            "weight": 0.005,
            "form": "l2_mean_tokens",
            "tap": "projector",
            "reference": "shrunk",
        },
        "semantic_enrichment": {
            "weight": 0.001,
            "form": "scaled_cosine",
            "temperature": None,
        },
    }


def test_options_lie_over_the_preset_and_what_is_resolved_resolves_to_itself():
    asked = {
        "preset": "authors-code",
        "feature_consistency": {"weight": 1, "tap": "vision"},
    }
    resolved = terms.resolve(asked)
    assert resolved["feature_consistency"]["tap"] == "vision"
    assert resolved["feature_consistency"]["form"] == "l2_mean_tokens"
    assert terms.resolve(resolved) == resolved


def test_a_record_without_the_task_loss_does_not_bring_it_back():
    asked = {"task_loss": {"weight": 0}, "candidate_contrast": {"weight": 1}}
    again = terms.objective(terms.resolve(asked))
    assert [term.name for term in again.terms] == ["candidate_contrast"]


def test_a_term_of_weight_0_is_as_if_it_were_not_there():
    assert terms.resolve({"feature_consistency": {"weight": 0}}) == terms.resolve({})
    assert not Objective(SemanticEnrichment(weight=0.0)).needs.guide


def test_without_the_task_loss_it_stays_without_when_it_is_read_again():
    asked = {"task_loss": {"weight": 0}, "feature_consistency": {"weight": 1}}
    resolved = terms.resolve(asked)
    assert resolved["task_loss"] == {"weight": 0}
    assert [t.name for t in terms.objective(resolved).terms] == ["feature_consistency"]
    assert terms.resolve(resolved) == resolved


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (
            {"preset": "papr"},
            UnknownName,
            r"Unknown preset .*'papr'\. Did you mean 'paper'\?",
        ),
        (
            {"feature_consistancy": {"weight": 1}},
            UnknownName,
            r"Unknown term 'objective\.feature_consistancy'\."
            r" Did you mean 'objective\.feature_consistency'\?",
        ),
        (
            {"feature_consistency": {"weight": 1, "tab": "vision"}},
            UnknownName,
            r"'objective\.feature_consistency\.tab'\. Did you mean"
            r" 'objective\.feature_consistency\.tap'\?",
        ),
        (
            {"semantic_enrichment": {"weight": 1, "form": "cosine"}},
            ConfigError,
            r"Option 'objective\.semantic_enrichment\.form' .*: expected 'exponential' or"
            r" 'scaled_cosine' \(did you mean 'scaled_cosine'\?\), came 'cosine'",
        ),
        (
            {"semantic_enrichment": {"form": "exponential"}},
            ConfigError,
            r"objective\.semantic_enrichment\.weight is missing; say how much the term counts",
        ),
        (
            {"semantic_enrichment": 0.001},
            ConfigError,
            r"objective\.semantic_enrichment is 0\.001; expected its options, such as \{weight:",
        ),
        (
            {"feature_consistency": {"weight": -1}},
            ConfigError,
            r"The weight of 'feature_consistency' is -1\.0; expected a number of at least 0",
        ),
        (
            {"feature_consistency": {"weight": math.nan}},
            ConfigError,
            r"objective\.feature_consistency\.weight'.*finite number",
        ),
        (
            {"task_loss": {"weight": 0}},
            ConfigError,
            r"No term has a weight \(task_loss\)",
        ),
    ],
)
def test_wrong_words_are_refused_by_their_full_key(asked, error, said):
    with pytest.raises(error, match=said):
        terms.resolve(asked)


def test_the_key_that_an_error_names_can_be_another():
    with pytest.raises(UnknownName, match=r"'methods\.tvp\.objective\.entropy'"):
        terms.objective({"entropy": {}}, key="methods.tvp.objective")


# -- an objective from objects


def test_the_needs_of_an_objective_are_those_of_its_terms():
    alone = Objective().needs
    assert alone.answers == {False}
    assert not alone.taps
    assert not alone.guide
    code = terms.objective({"preset": "authors-code", **TVP}).needs
    assert code.answers == {True}
    assert code.taps == {"projector"}
    assert code.guide
    assert not code.candidates


def test_a_term_stands_in_an_objective_once():
    with pytest.raises(ConfigError, match=r"'task_loss' stands twice in the objective"):
        Objective(TaskLoss(), TaskLoss(form="token_mean"))


def test_a_wrong_weight_is_refused_from_python_too():
    with pytest.raises(
        ConfigError, match=r"weight of 'feature_consistency' is -1; expected"
    ):
        FeatureConsistency(weight=-1)


@dataclass(frozen=True, kw_only=True)
class TotalVariation(CanvasTerm):
    """How much neighbouring pixels differ: a term that another package could bring."""

    name: ClassVar[str] = "total_variation"
    title: ClassVar[str] = "total variation"
    power: int = 1

    def value(self, canvases):
        across = (canvases[..., 1:] - canvases[..., :-1]).abs() ** self.power
        down = (canvases[..., 1:, :] - canvases[..., :-1, :]).abs() ** self.power
        return across.sum() + down.sum()


@pytest.fixture
def installed(monkeypatch):
    """`TotalVariation` as an installed package would bring it."""

    value = f"{__name__}:TotalVariation"
    point = EntryPoint("total_variation", value, "matboard.terms")

    def points(group):
        return (point,) if group == "matboard.terms" else ()

    monkeypatch.setattr(registry, "entry_points", points)
    fresh = registry.Registry("term", terms.TERMS._own, group="matboard.terms")
    monkeypatch.setattr(terms, "TERMS", fresh)


def test_a_term_from_another_package_is_asked_for_like_ours(installed):
    asked = {"total_variation": {"weight": 0.5, "power": 2}}
    assert terms.resolve(asked)["total_variation"] == {"weight": 0.5, "power": 2}
    with pytest.raises(
        UnknownName, match=r"Did you mean 'objective\.total_variation\.power'"
    ):
        terms.resolve({"total_variation": {"weight": 0.5, "pover": 2}})


def test_a_term_of_no_kind_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Loose(Term):
        name: ClassVar[str] = "loose"
        title: ClassVar[str] = "loose"

    with pytest.raises(
        ConfigError, match=r"derive it from ModelTerm, GuideTerm or CanvasTerm"
    ):
        Objective(Loose(weight=1.0))


def test_every_term_says_what_it_is():
    for name in terms.TERMS:
        term = terms.TERMS.load(name)
        assert term.name == name
        assert term.title
        assert "arXiv" in __import__(term.__module__, fromlist=["_"]).__doc__
