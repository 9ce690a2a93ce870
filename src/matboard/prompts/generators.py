"""Networks that make token prompts, sample by sample.

The two variational generators maximise an evidence lower bound beside the task (Kingma & Welling,
arXiv 1312.6114). With data x of D dimensions, code z of Z, a decoder of one learned deviation s for
all dimensions:

| term | formula, nats a sample |
|---|---|
| ``reconstruction`` | Σ_D ½ ((x − x̂) / s)² + log s + ½ log 2π |
| ``kl`` | Σ_Z ½ (μ² + σ² − 1 − log σ²), σ = exp(½ log σ²) |

Both are summed over dimensions and averaged over the batch: a mean over one and a sum over the
other would weigh them by their widths. At test z is its mean.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from matboard.prompts.pool import (
    Embed,
    Labels,
    Pictures,
    Prompted,
    PromptPool,
    PromptSource,
    PromptTokens,
    Queries,
)

LARGEST_LOG_VARIANCE = 10.0
"""Of log σ², either way: its exponential stays finite while a network is young (a guess)."""


class Gaussian(nn.Module):
    """The bound's two terms: q(z | x) from a vector, and a decoder's deviation."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.moments = nn.Linear(width, 2 * code)
        self.log_deviation = nn.Parameter(torch.zeros(()))

    def code(
        self, hidden: Float[Tensor, "batch width"]
    ) -> tuple[Float[Tensor, "batch code"], Float[Tensor, ""]]:
        """(z, kl): z is drawn in training and the mean otherwise."""
        mean, log_variance = self.moments(hidden).chunk(2, dim=-1)
        log_variance = log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
        divergences = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        kl = divergences.sum(dim=-1).mean()
        if not self.training:
            return mean, kl
        deviation = (0.5 * log_variance).exp()
        return mean + deviation * torch.randn_like(mean), kl

    def reconstruction(
        self,
        data: Float[Tensor, "batch *shape"],
        decoded: Float[Tensor, "batch *shape"],
    ) -> Float[Tensor, ""]:
        """−log p(x | z)."""
        scaled = (data - decoded) * (-self.log_deviation).exp()
        constant = 0.5 * math.log(2 * math.pi)
        nats = 0.5 * scaled.square() + self.log_deviation + constant
        return nats.flatten(1).sum(dim=1).mean()


class ClsVAE(PromptSource):
    """A VAE over the backbone's queries whose code also makes the prompt: q(z | query),
    p(query | z), prompt(z).

    Queries are standardised by the first task's mean and deviation.

    Args:
        dim: width of query and token.
        length: tokens it makes.
        code, hidden: widths of z and of the hidden layers (64 and 256: guesses at the scale of
            CGIL's, arXiv 2407.15793).
    """

    centre: Tensor
    scale: Tensor
    begun: Tensor

    def __init__(
        self, dim: int, length: int, *, code: int = 64, hidden: int = 256
    ) -> None:
        super().__init__()
        self.length = length
        self.encode = nn.Sequential(nn.Linear(dim, hidden), nn.GELU())
        self.gaussian = Gaussian(hidden, code)
        self.decode = nn.Sequential(nn.Linear(code, hidden), nn.GELU())
        self.query = nn.Linear(hidden, dim)
        self.prompt = nn.Linear(hidden, length * dim)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("begun", torch.tensor(False))

    def begin(self, queries: Queries, images: Pictures, labels: Labels) -> None:
        """Before the first task: take its queries' mean and deviation."""
        if not bool(self.begun):
            self.centre.copy_(queries.mean(dim=0))
            self.scale.copy_(queries.std(dim=0).clamp_min(1e-6))
            self.begun.fill_(True)

    def forward(self, query: Queries, images: Pictures) -> Prompted:
        """See `PromptSource.forward`."""
        data = (query - self.centre) / self.scale
        z, kl = self.gaussian.code(self.encode(data))
        hidden = self.decode(z)
        reconstruction = self.gaussian.reconstruction(data, self.query(hidden))
        return Prompted(
            self._tokens(hidden), {"reconstruction": reconstruction, "kl": kl}
        )

    def generate(self, query: Queries) -> PromptTokens:
        """See `PromptSource.generate`."""
        data = (query - self.centre) / self.scale
        moments = self.gaussian.moments(self.encode(data))
        mean, _ = moments.chunk(2, dim=-1)
        return self._tokens(self.decode(mean))

    def _tokens(self, hidden: Float[Tensor, "batch hidden"]) -> PromptTokens:
        tokens: Tensor = self.prompt(hidden)
        return tokens.reshape(len(hidden), self.length, -1)


class ImageVAE(PromptSource):
    """A convolutional VAE over pictures; what it decodes is the sample's prompt, a picture that
    goes through the patch embedding.

    Args:
        embed: the backbone's patch embedding.
        side: pixels of the pictures it reads and makes; a multiple of 4 and of the backbone's
            patch.
    """

    def __init__(
        self, embed: Embed, side: int = 32, *, code: int = 64, width: int = 32
    ) -> None:
        super().__init__()
        self.embed, self.side = embed, side
        small = side // 4
        self.encode = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.GELU(),
            nn.Flatten(),
        )
        self.gaussian = Gaussian(2 * width * small**2, code)
        self.decode = nn.Sequential(
            nn.Linear(code, 2 * width * small**2),
            nn.GELU(),
            nn.Unflatten(1, (2 * width, small, small)),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
            nn.GELU(),
            nn.ConvTranspose2d(width, 3, 4, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, query: Queries, images: Pictures) -> Prompted:
        """See `PromptSource.forward`."""
        unit = images.float() / 255
        data = F.interpolate(unit, size=self.side, mode="bilinear", antialias=True)
        z, kl = self.gaussian.code(self.encode(data))
        decoded = self.decode(z)
        reconstruction = self.gaussian.reconstruction(data, decoded)
        tokens = self.embed(decoded).float()
        return Prompted(tokens, {"reconstruction": reconstruction, "kl": kl})


class GeneratorPool(PromptSource):
    """A pool's prompts with a generator's behind them."""

    def __init__(self, pool: PromptSource, generator: PromptSource) -> None:
        super().__init__()
        self.pool = pool
        self.generator = generator

    def begin(self, queries: Queries, images: Pictures, labels: Labels) -> None:
        """Both begin."""
        self.pool.begin(queries, images, labels)
        self.generator.begin(queries, images, labels)

    def forward(self, query: Queries, images: Pictures) -> Prompted:
        """See `PromptSource.forward`."""
        pooled = self.pool(query, images)
        made = self.generator(query, images)
        tokens = torch.cat([pooled.tokens, made.tokens], dim=1)
        losses = {**pooled.losses, **made.losses}
        return Prompted(tokens, losses, pooled.chosen, pooled.similarity)

    def generate(self, query: Queries) -> PromptTokens | None:
        """See `PromptSource.generate`; the generator's part."""
        return self.generator.generate(query)


class ResidualGenerator(PromptSource):
    """P(q) = P_pool(q) + G(q): a pool corrected, sample by sample, by a network whose last layer
    starts at zero.

    So it starts exactly as its pool, and can only depart from it where that pays.

    Args:
        hidden: width of G's hidden layer (64: a guess; its last layer holds hidden · prompt · dim
            weights).
    """

    def __init__(self, pool: PromptPool, dim: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.pool = pool
        self.residual = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Linear(hidden, pool.count * dim),
        )
        for value in self.residual[-1].parameters():
            nn.init.zeros_(value)

    def forward(self, query: Queries, images: Pictures) -> Prompted:
        """See `PromptSource.forward`."""
        base = self.pool(query, images)
        tokens = base.tokens + self.generate(query)
        return Prompted(tokens, base.losses, base.chosen, base.similarity)

    def generate(self, query: Queries) -> PromptTokens:
        """See `PromptSource.generate`: G(q), what is added to the pool's prompts."""
        added: Tensor = self.residual(query)
        return added.reshape(len(query), self.pool.count, -1)
