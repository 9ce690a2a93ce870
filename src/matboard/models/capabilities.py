"""What a frozen model must offer, whatever it is inside.

Pictures come in one of two forms, and the form decides the route they take:

* a tensor, ``Float[Tensor, "batch 3 height width"]`` in [0, 1]: matboard's differentiable twin of
  the model's image processor. Gradients reach the pixels. This is how prompts are learned. A model
  without a faithful twin says so in ``refusal`` and raises PreprocessingMismatch.
* a sequence of PIL pictures: the model's *official* image processor. This is how prompts are
  judged.

Every model is in eval mode, none of its parameters requires grad, no method changes its state, and
a batch of N gives what N batches of one give.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from jaxtyping import Float, Int
from PIL.Image import Image
from torch import Tensor

Images: TypeAlias = Float[Tensor, "batch 3 height width"]
Pictures: TypeAlias = Images | Sequence[Image]
Tokens: TypeAlias = Float[Tensor, "batch token dim"]
TokensOut: TypeAlias = Float[Tensor, "batch tokens_out dim"]
Entering: TypeAlias = Mapping[int, Tensor] | None
"""Block → prompt tokens ``batch prompt dim`` that enter before it, behind the special tokens, in
place of any that entered earlier
(VPT-deep, arXiv 2203.12119)."""


@dataclass(frozen=True)
class Answers:
    """What one forward pass over pictures, questions and answers yields.

    Attributes:
        negative_log_likelihood: per sample, summed over the answer's tokens, in nats.
        token_count: per sample, how many answer tokens were scored.
        features: tap → visual features of the same forward pass, ``batch token dim``.
    """

    negative_log_likelihood: Float[Tensor, " batch"]
    token_count: Int[Tensor, " batch"]
    features: dict[str, Float[Tensor, "batch token dim"]] = field(default_factory=dict)


class VisionLanguageModel(ABC):
    """A frozen model that answers questions about pictures.

    Attributes:
        name: as the user gave it.
        encoder: fingerprint of the vision encoder's weights; equal fingerprints mean a shared eye.
        taps: names under which visual features can be had: always ``"vision"`` (the encoder's token
            output) and ``"projector"`` (what enters the language model); ``"qformer"`` where there
            is one.
    """

    name: str
    encoder: str
    taps: tuple[str, ...]

    @property
    def refusal(self) -> str | None:
        """Why no prompt can be learned on this model, as a sentence; None where one can. Known as
        soon as it is loaded.
        """
        return None

    @abstractmethod
    def answer(
        self,
        images: Pictures,
        questions: Sequence[str],
        answers: Sequence[str],
        *,
        taps: Sequence[str] = (),
        terminator: bool = False,
    ) -> Answers:
        """Teacher-forced likelihood of the answers, and the visual features of the same pass.

        Each picture is encoded once, features included. ``terminator`` appends the end-of-sequence
        token to every answer.
        """

    def answer_loss(
        self, images: Pictures, questions: Sequence[str], answers: Sequence[str]
    ) -> Float[Tensor, " batch"]:
        """Per sample: negative log-likelihood of the answer, summed over its tokens (TVP Eq. 3
        before the mean).
        """
        return self.answer(images, questions, answers).negative_log_likelihood

    @abstractmethod
    def candidate_log_likelihoods(
        self,
        images: Pictures,
        questions: Sequence[str],
        candidates: Sequence[Sequence[str]],
        *,
        length_normalised: bool = True,
    ) -> Float[Tensor, "batch candidate"]:
        """Log-likelihood of every candidate answer; each picture is encoded once for all its
        candidates.

        Args:
            candidates: per sample, the same number of candidates each.
            length_normalised: mean over the candidate's tokens (the TVP authors' rule) or their
                sum. No terminator is scored.
        """

    @abstractmethod
    def generate(
        self, images: Pictures, questions: Sequence[str], *, max_new_tokens: int = 16
    ) -> list[str]:
        """Greedy answers, special tokens and outer white space removed."""

    @abstractmethod
    def visual_features(
        self, images: Pictures, tap: str, questions: Sequence[str] | None = None
    ) -> Float[Tensor, "batch token dim"]:
        """Visual features at a named tap; ``questions`` matter only where the encoder reads them
        (InstructBLIP). Raises UnknownName.
        """


class Guide(ABC):
    """A frozen image-text model in one embedding space: what semantic enrichment (TSE) steers by.

    Attributes:
        name: as the user gave it.
        logit_scale: the model's learned inverse temperature, exponentiated (≈ 100 for CLIP).
    """

    name: str
    logit_scale: float

    @property
    def refusal(self) -> str | None:
        """Why no prompt can be learned with this guide, as a sentence; None where one can."""
        return None

    @abstractmethod
    def image_features(self, images: Pictures) -> Float[Tensor, "batch dim"]:
        """L2-normalised picture embeddings; differentiable where ``images`` is a tensor."""

    @abstractmethod
    def text_features(self, captions: Sequence[str]) -> Float[Tensor, "batch dim"]:
        """L2-normalised caption embeddings, without gradient."""


@dataclass(frozen=True)
class Outputs:
    """What a vision backbone makes of a token sequence, after its final norm.

    Attributes:
        tokens: every token but the prompts: first the special ones (CLS), then the patches.
        prompts: outputs of the prompt tokens that stood in the last block; none of them without
            prompts.
        pooled: what the backbone says of the whole picture: its CLS token, or its pooling head's
            output where it has no CLS.
    """

    tokens: Float[Tensor, "batch token dim"]
    prompts: Float[Tensor, "batch prompt dim"]
    pooled: Float[Tensor, "batch dim"]


class VisionBackbone(ABC):
    """A frozen vision transformer with a place where token prompts enter.

    Attributes:
        name: as the user gave it.
        dim: width of a token.
        depth: number of blocks.
        side: pixels of a picture's side.
        patch: pixels of a patch's side.
        special: tokens before the patches (CLS; CLS and distillation in DeiT; none in SigLIP).
            Prompts enter behind them.
        cls_position: the CLS token's position embedding; zero where there is none. L2P's PyTorch
            code adds it to its prompts.
    """

    name: str
    dim: int
    depth: int
    side: int
    patch: int
    special: int
    cls_position: Float[Tensor, " dim"]

    @abstractmethod
    def embed(self, images: Images) -> Tokens:
        """The sequence that enters block 0: special tokens and patches with their positions."""

    @abstractmethod
    def patch_embed(self, images: Images) -> Tokens:
        """Patch tokens of pictures of any size, without positions; differentiable in the pixels."""

    @abstractmethod
    def advance(
        self, tokens: Tokens, prompts: Entering = None, *, start: int = 0, stop: int | None = None
    ) -> TokensOut:
        """Blocks ``start`` to ``stop`` (the end where None), without the final norm."""

    @abstractmethod
    def forward(self, tokens: Tokens, prompts: Entering = None, *, start: int = 0) -> Outputs:
        """From the sequence that enters block ``start`` to the outputs."""

    @abstractmethod
    def query(self, images: Images) -> Float[Tensor, "batch dim"]:
        """The frozen backbone's summary of pictures without any prompt, float32, without gradient."""
