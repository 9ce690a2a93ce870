"""What a study asks for: a YAML file plus ``key.sub=value`` words, checked whole before anything
heavy starts.

A *study* learns one prompt for each variant and seed, and judges all of them on the same models
and tasks; or it runs learners over a stream of tasks. A single fit is a study of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from matboard.errors import ConfigError, UnknownName
from matboard.results.transfer import Precision, Scorer
from matboard.studies.executor import Executed

if TYPE_CHECKING:
    from matboard.studies.variants import FitVariant

Count = Annotated[int, Field(gt=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Grid = dict[str, Annotated[list[Any], Field(min_length=1)]]


def _with_bare_names(raw: Any, key: str) -> Any:
    """``ridge:`` with nothing behind it is a variant without settings of its own."""
    variants = raw.get(key) if isinstance(raw, dict) else None
    if not isinstance(variants, dict):
        return raw
    filled = {name: {} if own is None else own for name, own in variants.items()}
    return {**raw, key: filled}


def _with_first_task(raw: Any) -> Any:
    """Where several tasks are named, ``task`` needs no name."""
    tasks = raw.get("tasks") if isinstance(raw, dict) else None
    if not isinstance(tasks, list) or not tasks:
        return raw
    task = raw.get("task") or {}
    if not isinstance(task, dict) or "name" in task:
        return raw
    return {**raw, "task": {"name": tasks[0], **task}}


def _refuse_other_kind(raw: Any, own: str, others: Sequence[str], kind: str) -> None:
    """A configuration that lacks the key ``own`` of its kind, and has keys of the other kind, was
    given to the wrong command. Raises ValueError.
    """
    if not isinstance(raw, dict) or own in raw:
        return
    strange = [key for key in others if key in raw]
    if strange:
        raise ValueError(f"with {' and '.join(strange)} it is {kind} for it")


def _refuse_repeats(key: str, values: list[Any]) -> None:
    for place, value in enumerate(values):
        if value in values[:place]:
            shown = value.name if hasattr(value, "name") else value
            raise ValueError(f"{key} names {shown!r} twice")


def _checked(make: Any) -> None:
    """What a variant has wrong, said among whatever else is wrong."""
    try:
        make()
    except ConfigError as error:
        raise ValueError(str(error).rstrip(".")) from error


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptConfig(_Strict):
    """The prompt's form. Defaults are the paper's: a border of 30 on a canvas of 224, learned from
    black.

    Attributes:
        layout: a border around the shrunk picture, a square patch over it, or all of it.
        size: side of the canvas, in pixels.
        width: of the border, or side of the patch, in pixels.
        policy: how a picture is brought to a square: its middle cut out, squashed, or with bars.
        resolution: side in pixels at which the prompt is learned, to be enlarged; null: the
            canvas's.
        range: clamped to what an 8-bit picture can carry, squeezed by a sigmoid, or free (a
            prompt that no picture file carries; for parity with the paper).
        level: brightness in [0, 1] that a border starts from, the same everywhere; null: black.
    """

    layout: Literal["border", "patch", "full"] = "border"
    size: int = Field(224, gt=1, le=4096)
    width: int = Field(30, ge=0, le=4096)
    policy: Literal["crop", "squash", "letterbox"] = "crop"
    resolution: int | None = Field(None, gt=0, le=4096)
    range: Literal["clamped", "sigmoid", "free"] = "clamped"
    level: float | None = Field(None, allow_inf_nan=False)


class TaskConfig(_Strict):
    """A task and how much of it is used.

    Attributes:
        name: of the task (matboard list tasks), a folder or a file.
        train: training samples, at most; null: all.
        test: test samples, at most; null: all.
        skip: test samples to pass over: those that a study with ``test: SKIP`` and the same seed
            was judged on, so that a new one is judged on samples that nobody has looked at.
        seed: decides which samples are drawn where not all are used.
        held_out: share of the training samples that prompts are judged on, which then nothing is
            learned from, and the test part is not touched: this is how learning rates and weights
            are chosen. Null: judged on the test part.
    """

    name: str
    train: Count | None = None
    test: Count | None = None
    skip: int = Field(0, ge=0, le=10**9)
    seed: Seed = 0
    held_out: float | None = Field(None, gt=0, lt=1)


class EvaluateConfig(_Strict):
    """What prompts are judged on. Sources are always judged too.

    Attributes:
        models: target models, by zoo name, folder or Hub id.
        tasks: what is judged on; none: the task that prompts are learned on.
        scorers: what counts as an answer: ranking, the likeliest candidate; generation, what the
            model writes.
        precision: of the models' weights; null: that of learning.
        batch_size: pictures that a model gets at once.
        examples: so many pictures are shown in the report for each model and task.
    """

    models: list[str] = []
    tasks: list[TaskConfig] = []
    scorers: list[Scorer] = Field(default=["ranking"], min_length=1)
    precision: Precision | None = None
    batch_size: Count = 32
    examples: int = Field(8, ge=0, le=1000)

    @model_validator(mode="after")
    def _distinct(self) -> EvaluateConfig:
        _refuse_repeats("evaluate.models", self.models)
        _refuse_repeats("evaluate.tasks", self.tasks)
        _refuse_repeats("evaluate.scorers", self.scorers)
        return self


class Learning(_Strict):
    """How a prompt is learned, and from what. What is left out is the method's own default; see
    `matboard.transfer.methods.METHODS`.

    Attributes:
        sources: models that prompts are learned on, an ensemble where there are several.
        guide: the image-text model that semantic enrichment is steered by (tiny-guide, mini-guide
            or a Hub id).
        task: what is learned from.
        optimiser: normalised_gradient (EVP, TVP), gradient_descent (VP) or adam; without gradients
            spsa or cma. Null: the method's.
        lr: learning rate at its peak; of a normalised gradient the L2 length of one step, of cma
            the standard deviation that it starts with, in units of brightness [0, 1]. Null: the
            method's.
        schedule: of the learning rate over the steps; null: the method's.
        warmup: steps in which the learning rate grows from 0; null: the method's.
        norm_scope: whether a gradient's norm is taken over the whole canvas or the prompt's pixels;
            null: the preset's.
        per_picture: what becomes of each picture's gradient before they are added up; null: the
            method's.
        diversity: whether training pictures are flipped and cropped at random; null: the method's.
        prompt: its form.
        batch_size: training samples a step.
        steps, epochs, queries: how long, one of them; ⌈epochs · training samples / batch_size⌉
            steps, or as many as show so many pictures at most to the source models, validation
            included. With validation it is the longest that learning may take. All null: the
            method's own.
        validation: options of `matboard.transfer.validation.Validation`, over the method's own;
            null for none, and then all steps are made and every training sample is learned from.
        objective: ``preset`` (paper or authors-code), and by the name of a term its weight and
            options; see `matboard.transfer.terms`.
        black_box: options of spsa (``proposals``, ``radius``, ``radius_decay``, ``decay``,
            ``momentum``) or cma (``proposals``), over the method's own; see
            `matboard.transfer.black_box`.
        micro_batch: so many samples of a batch go through the models at once; null: all. With it
            several processes (torchrun) learn bit for bit what one does.
        precision: of the models' and the guide's weights; ``mixed`` is float32 for the eye, whose
            gradients bfloat16 may turn, and bfloat16 for all else.
            Where neither the file nor the command says it: bfloat16 on a GPU that computes in it.
        diagnose_every: on every so-manieth step the terms' gradients are taken apart; 0 never.
    """

    sources: list[str] = Field(min_length=1)
    guide: str | None = None
    task: TaskConfig
    optimiser: str | None = None
    lr: Positive | None = None
    schedule: Literal["constant", "cosine"] | None = None
    warmup: int | None = Field(None, ge=0, le=10**9)
    norm_scope: Literal["full", "prompt"] | None = None
    per_picture: Literal["sum", "clip", "normalise"] | None = None
    diversity: bool | None = None
    objective: dict[str, Any] = {}
    prompt: PromptConfig = PromptConfig()
    steps: Count | None = None
    epochs: Positive | None = None
    queries: Count | None = None
    validation: dict[str, Any] | None = {}
    black_box: dict[str, Any] = {}
    batch_size: Count = 16
    micro_batch: Count | None = None
    precision: Precision = "float32"
    diagnose_every: int = Field(10, ge=0, le=10**9)

    @model_validator(mode="after")
    def _consistent_learning(self) -> Learning:
        _refuse_repeats("sources", self.sources)
        lengths = {"steps": self.steps, "epochs": self.epochs, "queries": self.queries}
        said = [f"{key} is {one:g}" for key, one in lengths.items() if one is not None]
        if len(said) > 1:
            raise ValueError(
                f"{' and '.join(said)}; both say how long to learn, give one of them"
            )
        return self


class FitConfig(Learning):
    """One variant of a study: everything that decides its prompts but the seed.

    Attributes:
        method: vp, evp, tvp or matboard, or without gradients spsa or cma; see matboard list
            objectives.
    """

    method: str


class ModelConfig(_Strict):
    """A model by a name of the study's own, or with settings of its own.

    Attributes:
        model: zoo name, folder or Hub id; null: the name itself.
        templates: captions by which a dual encoder scores a candidate, ``{}`` in its place;
            averaged in feature space. Null: VP's caption.
        template: how a vision-language model is asked, with ``{question}`` and, where the picture
            shall not come first, ``{image}``. Null: the model's own.
        mapping: the rule that says which classes of an image classifier stand for the candidates;
            null: iterative.
        quantise: weights of a vision-language model in 4 or 8 bits, by bitsandbytes; null: as
            ``precision`` says.
        device_map: how accelerate lays it over several devices, ``auto`` say; null: on one.
        trust_remote_code: whether code that comes with it may run; null: not.
        concurrency: calls under way at once, of a model behind an API; null: 8.
        timeout: seconds that its server may take to connect, and then be silent; null: 60.
        retries: how often a call to it is made again that may succeed then; null: 4.
        request: what its requests hold beside, or instead; a value of null leaves a part out.
        max_calls: at most so many calls to it in one command, retries among them; null: as
            MATBOARD_API_CALLS says. Like ``max_tokens`` it may change from one command to the next.
        max_tokens: no call once so many tokens are used up; null: as MATBOARD_API_TOKENS says.
    """

    model: str | None = None
    templates: list[str] | None = Field(None, min_length=1)
    template: str | None = None
    mapping: Literal["random", "frequency", "iterative"] | None = None
    quantise: Literal["4bit", "8bit"] | None = None
    device_map: str | None = None
    trust_remote_code: bool | None = None
    concurrency: Count | None = None
    timeout: Positive | None = None
    retries: int | None = Field(None, ge=0, le=1000)
    request: dict[str, Any] | None = None
    # what it may cost decides nothing of what comes out, and so is no part of a run
    max_calls: int | None = Field(None, ge=0, le=10**9, exclude=True)
    max_tokens: int | None = Field(None, ge=0, le=10**9, exclude=True)

    @property
    def cost(self) -> dict[str, Any]:
        """Limits of it, of models behind an API."""
        told = {"max_calls": self.max_calls, "max_tokens": self.max_tokens}
        return {key: value for key, value in told.items() if value is not None}

    @property
    def options(self) -> dict[str, Any]:
        """For `matboard.zoo.load_model`."""
        told = self.model_dump(exclude={"model"}) | self.cost
        return {key: value for key, value in told.items() if value is not None}


class StudyConfig(Learning, Executed):
    """A whole study. See ``experiments/`` for examples.

    Attributes:
        title: of the report.
        seeds: of every variant, one fit each.
        evaluate: what prompts are judged on.
        checkpoint_every: steps from one checkpoint to the next; a killed run goes on at the last.
        rule: what will count as which outcome, in a sentence written before the study is begun; its
            report repeats it beside the verdict. A run cannot be taken up under another rule. Null:
            none.
        models: name → what that model is loaded with, for sources and targets alike.
        methods: a name for the table → what this variant has of its own: any key of `Learning`,
            nested or dotted (``prompt.width``), and ``method`` where the name is not a method's.
        grid: key → values: every variant with every combination of them.
        tasks: names of tasks that each have prompts of their own, learned and judged on that task
            alone. All else is as ``task`` says, whose name may be left out then.
        itself: the variant that is also learned on each judged model itself, with the first seed:
            what no transfer can be expected to exceed. Null: none.
    """

    title: str = ""
    rule: str | None = None
    methods: dict[str, dict[str, Any]] = Field(default={"tvp": {}}, min_length=1)
    grid: Grid = {}
    tasks: list[str] = []
    itself: str | None = None
    seeds: list[Seed] = Field(default=[0], min_length=1)
    models: dict[str, ModelConfig] = {}
    evaluate: EvaluateConfig = EvaluateConfig()
    checkpoint_every: Count = 25

    @model_validator(mode="before")
    @classmethod
    def _bare_names(cls, raw: Any) -> Any:
        stream = "a study over a stream of tasks; use 'matboard continual'"
        _refuse_other_kind(raw, "sources", ("learners", "backbone", "stream"), stream)
        return _with_first_task(_with_bare_names(raw, "methods"))

    @model_validator(mode="after")
    def _consistent(self) -> StudyConfig:
        from matboard.studies.variants import check_own, fit_variants

        _refuse_repeats("seeds", self.seeds)
        _refuse_repeats("tasks", self.tasks)
        _checked(lambda: check_own(self, fit_variants(self)))
        _checked(lambda: self._refuse_unused_models(fit_variants(self)))
        return self

    def _refuse_unused_models(self, variants: Sequence[FitVariant]) -> None:
        """Settings of a model that the study does not use are a mistake, not a wish."""
        used = list(self.evaluate.models)
        for variant in variants:
            used += variant.settings.sources
        for name in self.models:
            if name not in used:
                raise UnknownName("model of the study", f"models.{name}", used)


class StreamConfig(_Strict):
    """How a task becomes a stream.

    Attributes:
        kind: each task brings classes of its own, or other pictures of the same classes.
        tasks: into how many the classes are dealt.
        order: of the classes: shuffled by the seed, or as the task has them.
        domains: tasks over the same classes, which a domain-incremental stream goes through.
    """

    kind: Literal["class-incremental", "domain-incremental"] = "class-incremental"
    tasks: int = Field(10, gt=1, le=10**6)
    order: Literal["seeded", "natural"] = "seeded"
    domains: list[str] = []


class BackboneConfig(_Strict):
    """The frozen vision transformer.

    Attributes:
        model: a backbone of the zoo (matboard list learners), a folder or a Hub id.
        side: of the pictures that it gets, in pixels; null: its processor's.
        precision: of its weights.
        pixels: normalised as its processor says, or left in [0, 1].
    """

    model: str
    side: int | None = Field(None, gt=0, le=4096)
    precision: Literal["float32", "bfloat16"] = "float32"
    pixels: Literal["processor", "unit"] = "processor"


class ContinualConfig(_Strict, Executed):
    """A study of learners on one stream. See ``experiments/``.

    Attributes:
        title: of the report.
        task: what the stream is made of.
        stream: how.
        backbone: the frozen eye of all learners.
        seeds: one run of every learner for each; they decide the order of classes too.
        batch_size: pictures that the backbone gets at once where nothing is learned.
        learners: a name for the table → options. ``learner`` among them says which learner it is,
            where the name alone does not.
        training: options laid under those of every learner that trains prompts.
        grid: option → values: every learner that has it with every combination of them.
        reference: the learner that the others are compared with; null: the first.
    """

    title: str = ""
    task: TaskConfig
    stream: StreamConfig = StreamConfig()
    backbone: BackboneConfig
    learners: dict[str, dict[str, Any]] = Field(min_length=1)
    training: dict[str, Any] = {}
    grid: Grid = {}
    seeds: list[Seed] = Field(default=[0], min_length=1)
    reference: str | None = None
    batch_size: Count = 32

    @model_validator(mode="before")
    @classmethod
    def _bare_names(cls, raw: Any) -> Any:
        prompts = "a study of pixel prompts; use 'matboard fit'"
        _refuse_other_kind(raw, "learners", ("sources", "methods"), prompts)
        return _with_bare_names(raw, "learners")

    @model_validator(mode="after")
    def _consistent(self) -> ContinualConfig:
        _refuse_repeats("seeds", self.seeds)
        domains = self.stream.kind == "domain-incremental"
        if domains != bool(self.stream.domains):
            raise ValueError(
                "stream.domains names the tasks of a domain-incremental stream, and of no other"
            )
        return self
