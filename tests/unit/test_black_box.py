"""Learning without gradients: estimates against their expectation, the update against a naive one,
resume to the last bit, and budgets.
"""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from plain_model import CANVAS, PlainModel, picture, plain_task

from matboard.errors import ConfigError, FitError, ModelError, Unanswered
from matboard.models.capabilities import Generates, Ranks
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Sample, Task
from matboard.transfer.black_box.cma_es import CmaEs
from matboard.transfer.black_box.fit import BlackBoxFit
from matboard.transfer.black_box.losses import Losses, loss_of, possible
from matboard.transfer.black_box.spsa import Spsa, estimate
from matboard.transfer.optimisers import Schedule
from matboard.transfer.processes import Processes
from matboard.transfer.queries import Queries
from matboard.transfer.terms.candidate_contrast import CandidateContrast
from matboard.transfer.validation import Validation

# some fits here only give their state
pytestmark = pytest.mark.filterwarnings("ignore:A fit was made:RuntimeWarning")


class Likes(Ranks):
    """The first candidate is the likelier, the nearer the canvas is to one brightness."""

    def __init__(self, level=0.7, name="likes"):
        self.name = name
        self.level = level
        self.shown = 0

    def candidate_log_likelihoods(self, images, questions, candidates):
        self.shown += len(images)
        rows = []
        for image in images:
            edge = np.asarray(image, dtype=np.float64)[:4] / 255
            distance = ((edge - self.level) ** 2).mean()
            rows.append([-10 * distance, -10 * (1 - distance)])
        return torch.tensor(rows)


def sample(place):
    return Sample(f"s-{place}", lambda: picture(place), "what?", "a", ("a", "b"))


def task(count=24):
    return Task("likes", tuple(map(sample, range(count))), (sample(99),))


def black_box_fit(way=Spsa, steps=6, lr=0.1, models=None, **options):
    options = {"batch_size": 4, "processes": Processes(), **options}
    prompt = options.pop("prompt", None) or PixelPrompt(CANVAS, resolution=4)
    on = options.pop("task", None) or task()
    models = [Likes()] if models is None else models
    schedule = Schedule(lr, steps)
    return BlackBoxFit(prompt, models, on, way=way, schedule=schedule, **options)


WAYS = {
    "spsa": functools.partial(Spsa, radius=0.1),
    "cma": functools.partial(CmaEs, proposals=6),
}


# -- the estimate


def test_the_estimate_of_a_quadratic_is_its_gradient_on_the_mean_over_all_signs():
    draw = np.random.default_rng(3)
    matrix = torch.from_numpy(draw.normal(size=(4, 4)))
    linear = torch.from_numpy(draw.normal(size=4))
    point = torch.from_numpy(draw.normal(size=4))
    sizes = torch.from_numpy(draw.uniform(0.5, 1, size=4))

    def loss(at):
        return at @ matrix @ at + linear @ at

    radius = 0.3
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4)))
    moves = signs * sizes
    plus = [loss(point + radius * move) for move in moves]
    minus = [loss(point - radius * move) for move in moves]
    estimated = estimate(torch.stack(plus + minus), moves, radius)
    gradient = (matrix + matrix.T) @ point + linear
    assert torch.allclose(estimated, gradient, atol=1e-12)
    one = estimate(torch.stack([plus[0], minus[0]]), moves[:1], radius)
    assert not torch.allclose(one, gradient, atol=0.1)


def test_perturbations_are_segmented_uniform_and_a_function_of_seed_and_step():
    way = Spsa(torch.zeros(500), None, Schedule(1.0, 9), 5, proposals=20)
    moves = way.perturbations(3)
    assert moves.shape == (10, 500)
    assert moves.abs().min() >= 0.5 and moves.abs().max() <= 1
    assert moves.abs().mean().item() == pytest.approx(0.75, abs=0.01)
    assert moves.mean().item() == pytest.approx(0, abs=0.05)
    assert torch.equal(moves, way.perturbations(3))
    assert not torch.equal(moves, way.perturbations(4))
    other = Spsa(torch.zeros(500), None, Schedule(1.0, 9), 6, proposals=20)
    assert not torch.equal(moves, other.perturbations(3))


# -- the update


def test_spsa_gc_is_nesterovs_accelerated_gradient_at_its_look_ahead_point():
    """Against v ← β·v − a·ĝ(φ + β·v), φ ← φ + v, with the estimate by a loop over numbers."""
    centre = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64)
    rate, beta, radius = 0.05, 0.8, 0.2

    def loss(at):
        return float(((at.double() - centre) ** 2).sum())

    options = {"proposals": 6, "radius": radius, "momentum": beta}
    start = torch.zeros(3)
    way = Spsa(
        start, None, Schedule(rate, 8), 1, radius_decay=0.0, decay=0.0, **options
    )
    numbers = start
    memory = way.memory()
    phi = np.zeros(3)
    velocity = np.zeros(3)
    for step in range(8):
        tried = way.propose(numbers, step, memory)
        losses = torch.tensor([loss(one) for one in tried], dtype=torch.float64)
        moved = way.learn(numbers, losses, step, memory)
        ahead = phi + beta * velocity
        slope = np.zeros(3)
        for move in way.perturbations(step).double().numpy():
            plus = loss(torch.from_numpy(ahead + radius * move))
            minus = loss(torch.from_numpy(ahead - radius * move))
            for place in range(3):
                slope[place] += (plus - minus) / (2 * radius * move[place]) / 3
        velocity = beta * velocity - rate * slope
        phi = phi + velocity
        numbers, memory = moved.values, moved.memory
        assert numbers.numpy() == pytest.approx(phi + beta * velocity, abs=1e-5)
    assert loss(numbers) < 0.5 * loss(start)


def test_gains_shrink_as_powers_of_the_step():
    way = Spsa(
        torch.zeros(2),
        None,
        Schedule(0.5, 9),
        0,
        proposals=2,
        radius=0.4,
        radius_decay=0.5,
        decay=1.0,
        momentum=0.0,
    )
    tried = way.propose(torch.zeros(2), 3, way.memory())
    assert torch.allclose(tried[0], 0.4 / 4**0.5 * way.perturbations(3)[0])
    assert torch.equal(tried[1], -tried[0])
    losses = torch.tensor([1.0, 0.0])
    moved = way.learn(torch.zeros(2), losses, 3, way.memory()).values
    slope = 1 / (2 * 0.2 * way.perturbations(3)[0])
    assert torch.allclose(moved, -0.5 / 4 * slope)


def test_spsa_tries_prompts_in_pairs():
    with pytest.raises(
        ConfigError, match=r"proposals is 5; SPSA tries prompts in pairs"
    ):
        Spsa(torch.zeros(2), None, Schedule(1.0, 1), 0, proposals=5)


def test_cma_finds_the_minimum_of_a_quadratic():
    way = CmaEs(torch.zeros(5), None, Schedule(0.3, 60), 0, proposals=10)
    numbers = way.start
    memory = way.memory()
    for step in range(60):
        tried = way.propose(numbers, step, memory)
        losses = (tried.double() - 0.4).square().sum(dim=1)
        update = way.learn(numbers, losses, step, memory)
        numbers, memory = update.values, update.memory
    assert numbers.numpy() == pytest.approx(np.full(5, 0.4), abs=1e-3)


def test_cma_goes_on_from_what_it_was_told_to_the_last_bit():
    def make():
        return CmaEs(torch.zeros(6), (0.0, 1.0), Schedule(0.3, 20), 4, proposals=8)

    def advance(way, numbers, memory, steps):
        for step in steps:
            tried = way.propose(numbers, step, memory)
            assert torch.equal(tried, way.propose(numbers, step, memory))
            losses = (tried.double() - 0.4).square().sum(dim=1)
            if step == 2:  # nobody answered
                continue
            update = way.learn(numbers, losses, step, memory)
            numbers, memory = update.values, update.memory
        return numbers, memory

    before = np.random.get_state()[1].copy()
    way = make()
    whole, history = advance(way, way.start, way.memory(), range(20))
    half = make()
    middle = advance(half, half.start, half.memory(), range(9))
    resumed, told = advance(make(), *middle, range(9, 20))
    assert torch.equal(resumed, whole)
    assert torch.equal(told["losses"].nan_to_num(), history["losses"].nan_to_num())
    again, _ = advance(way, way.start, way.memory(), range(20))  # a used one, anew
    assert torch.equal(again, whole)
    assert np.array_equal(np.random.get_state()[1], before)


def test_cma_wants_few_numbers():
    prompt = PixelPrompt(Canvas())
    with pytest.raises(ConfigError, match=r"has 69840; set prompt.resolution, such as"):
        black_box_fit(CmaEs, prompt=prompt)


# -- a fit


@pytest.mark.parametrize("name", WAYS)
def test_a_border_learns_the_brightness_that_a_model_likes(name):
    fitting = black_box_fit(WAYS[name], steps=40, lr=0.15, batch_size=2)
    steps = fitting.run()
    assert steps[-1].losses.keys() == {"candidate_contrast"}
    edge = fitting.prompt.perturbation()[:, :4]
    start = (edge * 0 - 0.7).square().mean()
    assert (edge - 0.7).square().mean() < 0.5 * start
    low, high = fitting.prompt.delta.min(), fitting.prompt.delta.max()
    assert low >= 0 and high <= 1


@pytest.mark.parametrize("name", WAYS)
def test_a_stopped_fit_goes_on_to_the_same_tensor(name):
    def make():
        validation = Validation(share=0.2, every=2, patience=None)
        return black_box_fit(WAYS[name], validation=validation)

    whole = make()
    whole.run()
    half = make()
    for _ in range(3):
        next(half)
    rest = make()
    rest.load_state(half.state())
    rest.run()
    assert torch.equal(rest.prompt.delta, whole.prompt.delta)
    assert rest.best == whole.best


def test_what_lies_under_the_picture_stays_as_it_was():
    fitting = black_box_fit(prompt=PixelPrompt(CANVAS))
    fitting.run()
    moved = fitting.prompt.delta != 0
    assert moved.any() and not moved[:, 4:12, 4:12].any()


# -- queries


@pytest.mark.parametrize("every", [1, 2, 4])
@pytest.mark.parametrize("name", WAYS)
def test_queries_are_what_models_were_shown(name, every):
    validation = Validation(share=0.25, every=every, patience=None)
    models = [Likes(), Likes(0.2, "others")]
    fitting = black_box_fit(WAYS[name], models=models, validation=validation)
    for step in fitting:
        assert step.queries == sum(model.shown for model in models) == fitting.shown


@pytest.mark.parametrize("budget", [77, 150, 151, 333])
def test_a_budget_is_never_exceeded_and_never_wasted(budget):
    validation = Validation(share=0.25, every=2, patience=None)
    held = task().validation_split(0.25, 0)[1]
    tried = 10
    steps = Queries.of(4 * tried, 1, validation, held).steps_within(budget)
    models = [Likes()]
    black_box_fit(steps=steps, models=models, validation=validation).run()
    assert models[0].shown <= budget
    longer = [Likes()]
    black_box_fit(steps=steps + 1, models=longer, validation=validation).run()
    assert longer[0].shown > budget


def test_a_budget_of_less_than_one_step_is_refused():
    said = r"queries is 30, but a fit of one step shows 40 pictures .* 40 to learn from"
    with pytest.raises(ConfigError, match=said):
        Queries(40).steps_within(30)


# -- losses


class Writes(Generates):
    def __init__(self, said):
        self.name = "writes"
        self.said = said

    def generate(self, images, questions, *, max_new_tokens=16):
        return [self.said(image) for image in images]


def losses_of(model, samples):
    samples = tuple(samples)
    on = Task("t", samples, (sample(99),))
    kind = loss_of([model], on)
    contrast = CandidateContrast(weight=1.0)
    fitting = black_box_fit(models=[model], task=on, batch_size=len(samples))
    prompts = [PixelPrompt(CANVAS, level=level).to_artifact() for level in (0.0, 1.0)]
    losses = Losses([model], on, kind, contrast, at_once=2)
    batch = fitting.batches.at(0)
    return losses.of(prompts, batch), batch, kind


def test_the_loss_of_ranks_is_the_contrast_by_hand():
    losses, _, kind = losses_of(Likes(), map(sample, range(3)))
    assert kind == "candidate_contrast"
    for row, level in zip(losses, (0.0, 1.0)):
        distance = (level - 0.7) ** 2
        scores = np.exp([-10 * distance, -10 * (1 - distance)])
        expected = -math.log(scores[0] / scores.sum())
        assert row.numpy() == pytest.approx(np.full(3, expected), rel=1e-4)


def test_of_a_model_that_only_writes_it_is_the_share_answered_wrongly():
    def said(image):
        return "It is a." if image.getpixel((0, 0))[0] > 128 else "It is b."

    losses, _, kind = losses_of(Writes(said), map(sample, range(3)))
    assert kind == "answered_wrongly"
    assert losses.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_a_picture_that_is_not_answered_about_counts_for_no_prompt():
    class Silent(Likes):
        def candidate_log_likelihoods(self, images, questions, candidates):
            scores = super().candidate_log_likelihoods(images, questions, candidates)
            if self.shown > 4 * 3:
                return scores
            scores[1] = math.nan
            raise Unanswered("silent", scores, {1: "too late"})

    fitting = black_box_fit(models=[Silent()])
    first = next(fitting)
    assert first.unanswered == 1 and math.isfinite(first.loss)
    assert next(fitting).unanswered == 0


def test_a_fit_that_nobody_answered_is_an_error_at_its_end():
    class Mute(Likes):
        def candidate_log_likelihoods(self, images, questions, candidates):
            scores = torch.full((len(images), 2), math.nan)
            reasons = dict.fromkeys(range(len(images)), "too late")
            raise Unanswered("mute", scores, reasons)

    fitting = black_box_fit(models=[Mute()], steps=2)
    assert [next(fitting).skipped for _ in range(2)] == [1, 2]
    with pytest.raises(FitError, match="answered about none of their pictures"):
        next(fitting)


def test_what_a_model_calls_impossible_keeps_the_loss_finite():
    scores = torch.tensor(
        [[-1.0, -math.inf], [-math.inf, -math.inf], [-30.0, -math.inf]]
    )
    known = possible(scores)
    assert known.tolist() == [[-1, -20], [-20, -20], [-30, -30]]


# -- refusals


def test_what_cannot_be_learned_on_is_said():
    with pytest.raises(ConfigError, match="No source model was given"):
        black_box_fit(models=[])
    with pytest.raises(ConfigError, match="Two source models are called 'likes'"):
        black_box_fit(models=[Likes(), Likes()])
    with pytest.raises(ModelError, match=r"plain-0 \(PlainModel\) cannot generate ans"):
        black_box_fit(models=[PlainModel()], task=plain_task())
    with pytest.raises(ConfigError, match="Start the study without torchrun"):
        black_box_fit(processes=Processes(0, 2))
