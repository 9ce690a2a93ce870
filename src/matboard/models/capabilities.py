"""What frozen models can do, each ability a small contract of its own.

================  ============================  ==========================================
ability           what it offers                who has it
================  ============================  ==========================================
`Learnable`       gradients to the pixels       open models, classifiers, CLIP
`HasLikelihoods`  likelihood of one answer      open vision-language models
`Ranks`           scores for candidate answers  open models, classifiers, CLIP, some APIs
`Generates`       free answers                  open vision-language models, models behind APIs
`HasFeatures`     visual features at taps       open models, classifiers, CLIP
================  ============================  ==========================================

A `VisionLanguageModel` has all five. Whoever needs an ability asks for it with `require`, which
says in a sentence what a model lacks.

Pictures come in one of two forms, and the form decides the route they take:

* a tensor, ``Float[Tensor, "batch 3 height width"]`` in [0, 1]: matboard's differentiable version
  of the model's image processor. Gradients reach the pixels. This is how prompts are learned. A
  model without a faithful one says so in ``refusal`` and raises PreprocessingMismatch.
* a sequence of PIL pictures: the model's *official* image processor. This is how prompts are
  judged.

Every model is in eval mode, none of its parameters requires grad, no method changes its state, and
a batch of N gives what N batches of one give.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

from jaxtyping import Float, Int
from PIL.Image import Image
from torch import Tensor

from matboard.errors import ModelError

Images: TypeAlias = Float[Tensor, "batch 3 height width"]
Pictures: TypeAlias = Images | Sequence[Image]
Tokens: TypeAlias = Float[Tensor, "batch token dim"]
TokensOut: TypeAlias = Float[Tensor, "batch tokens_out dim"]
Entering: TypeAlias = Mapping[int, Tensor] | None
"""Block → prompt tokens ``batch prompt dim`` that enter before it, behind the special tokens, in
place of any that entered earlier (VPT-deep, arXiv 2203.12119).
"""


@dataclass(frozen=True)
class Compared:
    """What a model makes of candidate answers.

    Attributes:
        log_likelihood: of each candidate, summed over its tokens, in nats.
        token_count: how many tokens it has.
    """

    log_likelihood: Float[Tensor, "batch candidate"]
    token_count: Int[Tensor, "batch candidate"]

    @property
    def scores(self) -> Float[Tensor, "batch candidate"]:
        """The mean over a candidate's tokens, by which candidates are ranked."""
        return self.log_likelihood / self.token_count


@dataclass(frozen=True)
class Answers:
    """What one forward pass over pictures, questions and answers yields.

    Attributes:
        negative_log_likelihood: per sample, summed over the answer's tokens, in nats.
        token_count: per sample, how many answer tokens were scored.
        features: tap → visual features of the same forward pass, ``batch token dim``.
        compared: the candidates, where there were any, behind the same encoded pictures.
    """

    negative_log_likelihood: Float[Tensor, " batch"]
    token_count: Int[Tensor, " batch"]
    features: dict[str, Float[Tensor, "batch token dim"]] = field(default_factory=dict)
    compared: Compared | None = None


class FrozenModel(ABC):
    """A model that is only used. What it can do, its abilities say.

    Attributes:
        name: as the user gave it.
        encoder: fingerprint of the vision encoder's weights; equal fingerprints mean a shared eye.
            Empty where nobody knows, as behind an API.
        weights: fingerprint of all its weights; empty where nobody knows.
        model: the torch module that holds them; None where there is none here.
        settings: what its scores depend on beside its weights, as a clause for people: the captions
            of a dual encoder, the label mapping of a classifier. Empty where there is no choice.
        closed: whether it is behind an API: where and in which precision it runs nobody here knows.
    """

    name: str
    encoder: str = ""
    weights: str = ""
    model: Any = None
    settings: str = ""
    closed: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


class Learnable(FrozenModel):
    """Prompts can be learned on it: what it makes of a tensor has a gradient to the pixels."""

    ability: ClassVar[str] = "give a gradient to the pixels"

    @property
    def refusal(self) -> str | None:
        """Why no prompt can be learned on this very model, as a sentence; None where one can.
        Known as soon as it is loaded.
        """
        return None


class HasLikelihoods(FrozenModel):
    """It says how likely an answer is by itself, without others to compare it with."""

    ability: ClassVar[str] = "tell the likelihood of an answer"

    @abstractmethod
    def answer(
        self,
        images: Pictures,
        questions: Sequence[str],
        answers: Sequence[str],
        *,
        taps: Sequence[str] = (),
        terminator: bool = False,
        candidates: Sequence[Sequence[str]] | None = None,
    ) -> Answers:
        """Teacher-forced likelihood of the answers, and the visual features of the same pass.

        Each picture is encoded once, features and candidates included.

        Args:
            taps: where features are wanted; a model without `HasFeatures` knows none.
            terminator: append the end-of-sequence token to every answer.
            candidates: answers to compare, as many for every sample; a model without `Ranks` is
                given none.
        """

    def answer_loss(
        self, images: Pictures, questions: Sequence[str], answers: Sequence[str]
    ) -> Float[Tensor, " batch"]:
        """Per sample: negative log-likelihood of the answer, summed over its tokens (TVP Eq. 3
        before the mean).
        """
        return self.answer(images, questions, answers).negative_log_likelihood


class Ranks(FrozenModel):
    """It scores candidate answers against one another; a model that only ranks is learned on by
    comparing them (the term ``candidate_contrast``).
    """

    ability: ClassVar[str] = "rank candidate answers"

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
        candidates. A dual encoder's and a classifier's are logits: log-likelihoods among the
        candidates, up to a number that a sample's candidates share.

        Args:
            candidates: per sample, the same number of candidates each.
            length_normalised: mean over the candidate's tokens (the TVP authors' rule) or their
                sum. No terminator is scored. Models without tokens make no difference.
        """


class Generates(FrozenModel):
    """It answers in its own words."""

    ability: ClassVar[str] = "generate answers"

    @abstractmethod
    def generate(
        self, images: Pictures, questions: Sequence[str], *, max_new_tokens: int = 16
    ) -> list[str]:
        """Greedy answers, special tokens and outer white space removed."""


class HasFeatures(FrozenModel):
    """It shows what its eye makes of a picture.

    Attributes:
        taps: names under which visual features can be had: always ``"vision"`` (the encoder's token
            output); ``"projector"`` where there is one (what enters the language model, or a dual
            encoder's embedding as a single token); ``"qformer"`` where there is one.
    """

    ability: ClassVar[str] = "show its visual features"
    taps: tuple[str, ...]

    @abstractmethod
    def visual_features(
        self, images: Pictures, tap: str, questions: Sequence[str] | None = None
    ) -> Float[Tensor, "batch token dim"]:
        """Visual features at a named tap; ``questions`` matter only where the encoder reads them
        (InstructBLIP). Raises UnknownName.
        """


class VisionLanguageModel(Learnable, HasLikelihoods, Ranks, Generates, HasFeatures):
    """A frozen open model that answers questions about pictures; it has every ability."""


ABILITIES: tuple[type[FrozenModel], ...] = (
    Learnable,
    HasLikelihoods,
    Ranks,
    Generates,
    HasFeatures,
)

Able = TypeVar("Able", bound=FrozenModel)


def require(model: FrozenModel, ability: Callable[..., Able], *, doing: str) -> Able:
    """The model itself, known to have an ability.

    Args:
        ability: one of `ABILITIES`; typed as a callable because mypy takes an abstract class for
            one, and not for a ``type``.
        doing: what needs it, as the subject of a sentence: ``"judging by ranking"``.

    Raises:
        ModelError: it lacks the ability; the sentence says what it can do instead.
    """
    wanted = cast(type[Able], ability)
    if isinstance(model, wanted):
        return model
    able = [_said(kind) for kind in ABILITIES if isinstance(model, kind)]
    lacking = f"{model.name} ({type(model).__name__}) cannot {_said(wanted)}"
    raise ModelError(
        f"{lacking}, which {doing} needs. It can {' and '.join(able) or 'nothing'}."
    )


def _said(kind: type[FrozenModel]) -> str:
    return str(getattr(kind, "ability", kind.__name__))


class Guide(ABC):
    """A frozen image-text model in one embedding space: what semantic enrichment (TSE) steers by.

    Attributes:
        name: as the user gave it.
        logit_scale: the model's learned inverse temperature, exponentiated (≈ 100 for CLIP).
        model: the torch module that holds its weights; None where there is none here.
    """

    name: str
    logit_scale: float
    model: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

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


class Backbone(ABC):
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {self.side} px)"

    @abstractmethod
    def embed(self, images: Images) -> Tokens:
        """The sequence that enters block 0: special tokens and patches with their positions."""

    @abstractmethod
    def patch_embed(self, images: Images) -> Tokens:
        """Patch tokens of pictures of any size, without positions; differentiable in the pixels."""

    @abstractmethod
    def advance(
        self,
        tokens: Tokens,
        prompts: Entering = None,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> TokensOut:
        """Blocks ``start`` to ``stop`` (the end where None), without the final norm."""

    @abstractmethod
    def forward(
        self, tokens: Tokens, prompts: Entering = None, *, start: int = 0
    ) -> Outputs:
        """From the sequence that enters block ``start`` to the outputs."""

    @abstractmethod
    def query(self, images: Images) -> Float[Tensor, "batch dim"]:
        """The frozen backbone's summary of pictures without any prompt; float32, no gradient."""
