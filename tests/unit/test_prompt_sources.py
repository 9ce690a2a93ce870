"""Pools, picture prompts and generators: second implementations, cases computed by hand."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.distributions import Normal, kl_divergence

from matboard.errors import ConfigError
from matboard.prompts.generators import (
    ClsVAE,
    Gaussian,
    GeneratorPool,
    ImageVAE,
    ResidualGenerator,
)
from matboard.prompts.image_tokens import ImagePrompts, begun, reshape_side
from matboard.prompts.pool import PromptPool, Selector, majority, uniform

DIM = 12


def queries(count=6, seed=0):
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))


def blank(count=6, side=8):
    generator = torch.Generator().manual_seed(1)
    shape = (count, 3, side, side)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def cosine(a, b):
    return float((a * b).sum() / a.norm() / b.norm())


# -- pool


def test_selection_and_pull_are_the_paper_s_in_loops():
    pool = PromptPool(7, 2, DIM, 3, seed=4)
    query = queries()
    made = pool(query, blank())
    pulls = []
    for i in range(6):
        similarity = [cosine(query[i], key) for key in pool.selector.keys]
        nearest = sorted(range(7), key=lambda m: -similarity[m])[:3]
        assert made.chosen[i].tolist() == nearest
        assert torch.allclose(made.similarity[i], torch.tensor(similarity), atol=1e-6)
        assert torch.equal(
            made.tokens[i], torch.cat([pool.prompts[m] for m in nearest])
        )
        pulls.append(sum(1 - similarity[m] for m in nearest))
    assert float(made.losses["pull"]) == pytest.approx(sum(pulls) / 6, abs=1e-6)


def test_majority_is_counted_by_hand():
    """Votes are 1, 2, 1, 2: the tie goes to the lower index."""
    chosen = torch.tensor([[3, 1], [1, 2], [0, 3]])
    assert majority(chosen, 5).tolist() == [[1, 3]]


def test_a_batchwise_choice_depends_on_the_batch_and_a_sample_s_own_does_not():
    query = queries(16)
    for selection, same in (("batchwise", False), ("per_sample", True)):
        selector = Selector(7, DIM, 3, selection, seed=4)
        whole, _, _ = selector(query)
        part, _, _ = selector(query[:4])
        assert torch.equal(whole[:4], part) is same
        assert (len(whole.unique(dim=0)) == 1) is not same


def test_soft_weights_are_coda_s_in_loops():
    pool = PromptPool(5, 2, DIM, 2, weighting="soft", seed=4)
    pool.attention.data = torch.rand(5, DIM)
    query = queries()
    made = pool(query, blank())
    for i in range(6):
        alpha = [
            cosine(query[i] * pool.attention[m], pool.selector.keys[m])
            for m in range(5)
        ]
        mixed = sum(a * p for a, p in zip(alpha, pool.prompts))
        assert torch.allclose(made.tokens[i], mixed, atol=1e-5)
    assert made.tokens.shape == (6, 2, DIM) and not made.losses


def test_pool_starts_inside_its_bounds_and_refuses_an_impossible_top_k():
    drawn = uniform((1000,), (0.0, 0.01), 3)
    assert drawn.min() >= 0 and drawn.max() < 0.01
    assert float(drawn.mean()) == pytest.approx(0.005, abs=5e-4)
    with pytest.raises(
        ConfigError, match=r"top_k is 6, but the pool holds 5 .*; expected 1 to 5"
    ):
        PromptPool(5, 2, DIM, 6)


# -- pictures


def patch_embed(pictures):
    """A stand-in: each 4×4 patch's values, cut to the token's width."""
    return F.unfold(pictures, 4, stride=4).transpose(1, 2)[..., :DIM]


def test_the_patch_route_embeds_the_learned_pictures_clamped():
    source = ImagePrompts(patch_embed, 3, DIM, 2, (8, 8), start="random")
    source.pixels.data[0] = 1.5
    made = source(queries(), blank())
    inside = patch_embed(source.pixels.clamp(0, 1))
    assert made.tokens.shape == (6, 8, DIM)
    assert torch.allclose(made.tokens, inside[made.chosen].flatten(1, 2), atol=1e-6)
    made.tokens.sum().backward()
    slopes = source.pixels.grad[made.chosen.unique()].abs()
    assert slopes.amax(dim=(1, 2, 3)).min() > 0, "a saturated pixel still learns"


def test_the_reshape_route_lays_the_values_out_in_order():
    shape = reshape_side(2, DIM)
    source = ImagePrompts(None, 4, DIM, 2, shape, route="reshape", start="random")
    assert 3 * shape[0] * shape[1] == 2 * DIM
    made = source(queries(), blank())
    laid_out = [source.pixels[m].flatten().reshape(2, DIM) for m in made.chosen[0]]
    assert torch.equal(made.tokens[0], torch.cat(laid_out))


def test_pictures_come_from_the_first_task_one_class_at_a_time_and_only_once():
    source = ImagePrompts(patch_embed, 3, DIM, 2, (8, 8))
    images = blank(6)
    labels = torch.tensor([4, 4, 9, 9, 4, 9])
    source.begin(queries(), images, labels)
    assert torch.allclose(source.pixels, images[[0, 2, 1]].float() / 255, atol=1e-6)
    before = source.pixels.clone()
    source.begin(queries(), blank(6).flip(0), labels)
    assert torch.equal(source.pixels, before)
    assert torch.equal(source.pictures(), images[[0, 2, 1]])


def colours(picture):
    return {tuple(pixel) for pixel in picture.flatten(1).T.tolist()}


def test_controls_keep_the_scale_or_the_values_but_not_the_picture():
    pictures = torch.rand(5, 3, 32, 32) * torch.rand(5, 3, 1, 1)
    matched = begun(pictures, "matched", 0)
    shuffled = begun(pictures, "shuffled", 0)
    assert torch.allclose(
        matched.mean(dim=(2, 3)), pictures.mean(dim=(2, 3)), atol=0.03
    )
    assert torch.allclose(matched.std(dim=(2, 3)), pictures.std(dim=(2, 3)), atol=0.03)
    assert not torch.equal(shuffled, pictures)
    assert torch.equal(
        shuffled.flatten(2).sort().values, pictures.flatten(2).sort().values
    )
    assert colours(shuffled[0]) == colours(pictures[0]), (
        "whole pixels move, not channels"
    )


def test_shapes_that_do_not_fit_are_sentences():
    with pytest.raises(
        ConfigError, match="160 values, which are no multiple of 3 channels"
    ):
        reshape_side(10, 16)
    with pytest.raises(
        ConfigError, match="27 values, which cannot be laid out as tokens of 12"
    ):
        ImagePrompts(None, 4, DIM, 2, (3, 3), route="reshape")
    assert reshape_side(5, 768) == (32, 40)


# -- generators


def test_the_bound_s_terms_are_torch_s_own_distributions():
    gaussian = Gaussian(DIM, 4).eval()
    gaussian.log_deviation.data.fill_(-0.7)
    hidden = queries()
    z, kl = gaussian.code(hidden)
    mean, log_variance = gaussian.moments(hidden).chunk(2, dim=-1)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1).mean()
    assert torch.equal(z, mean)
    assert float(kl) == pytest.approx(float(divergence), rel=1e-5)
    data = queries(seed=1)
    decoded = queries(seed=2)
    likelihood = Normal(decoded, math.exp(-0.7)).log_prob(data).sum(dim=1).mean()
    reconstruction = gaussian.reconstruction(data, decoded)
    assert float(reconstruction) == pytest.approx(-float(likelihood), rel=1e-5)


def test_the_drawn_code_has_the_posterior_s_deviation():
    gaussian = Gaussian(DIM, 1)
    with torch.no_grad():
        gaussian.moments.weight.zero_()
        gaussian.moments.bias.copy_(torch.tensor([2.0, math.log(0.09)]))
        torch.manual_seed(0)
        z, _ = gaussian.train().code(torch.zeros(20_000, DIM))
    assert float(z.mean()) == pytest.approx(2.0, abs=0.01)
    assert float(z.std()) == pytest.approx(0.3, abs=0.01)


def test_a_cls_vae_learns_to_rebuild_its_queries():
    torch.manual_seed(0)
    vae = ClsVAE(DIM, 2, code=4, hidden=32)
    data = torch.randn(64, 3) @ torch.randn(3, DIM) + 5
    vae.begin(data, blank(64), torch.zeros(64, dtype=torch.long))
    optimiser = torch.optim.Adam(vae.parameters(), lr=0.01)
    bounds = []
    for _ in range(150):
        losses = vae(data, blank(64)).losses
        bound = losses["reconstruction"] + losses["kl"]
        optimiser.zero_grad()
        bound.backward()
        optimiser.step()
        bounds.append(float(bound))
    assert bounds[-1] < 0.8 * bounds[0]
    vae.eval()
    assert torch.allclose(vae.generate(data), vae(data, blank(64)).tokens)


def test_an_image_vae_s_prompt_is_the_picture_it_decodes():
    torch.manual_seed(0)
    seen = []

    def embed(pictures):
        seen.append(pictures)
        return patch_embed(pictures)

    source = ImageVAE(embed, side=8, code=3, width=4).eval()
    made = source(queries(2), blank(2, 16))
    assert seen[0].shape == (2, 3, 8, 8) and seen[0].min() >= 0 and seen[0].max() <= 1
    assert torch.equal(made.tokens, patch_embed(seen[0]))
    assert set(made.losses) == {"reconstruction", "kl"}


def test_a_residual_generator_starts_exactly_as_its_pool():
    pool = PromptPool(5, 2, DIM, 2, seed=4)
    source = ResidualGenerator(pool, DIM)
    inputs = (queries(), blank())
    assert torch.equal(source(*inputs).tokens, pool(*inputs).tokens)
    source.residual[-1].bias.data.fill_(1.0)
    assert torch.allclose(source(*inputs).tokens, pool(*inputs).tokens + 1)
    assert torch.equal(source.generate(queries()), torch.ones(6, 4, DIM))


def test_a_generator_s_tokens_stand_behind_the_pool_s():
    pool = PromptPool(5, 2, DIM, 2, seed=4)
    vae = ClsVAE(DIM, 3).eval()
    made = GeneratorPool(pool, vae)(queries(), blank())
    pooled = pool(queries(), blank()).tokens
    assert torch.equal(made.tokens, torch.cat([pooled, vae.generate(queries())], dim=1))
    assert set(made.losses) == {"pull", "reconstruction", "kl"}
