"""A learned pixel prompt as a thing to keep, share and use, without torch.

It is saved as a folder of four files (`matboard.prompts.folder`). No pickle is ever run; the file
that the authors of arXiv 2404.11207 published is read for its numbers alone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from huggingface_hub import ModelHubMixin
from numpy.typing import NDArray
from PIL import Image

from matboard.errors import (
    ConfigError,
    HubError,
    ImageError,
    PromptError,
    UnknownName,
    first_line,
)
from matboard.hub import REFUSALS, check_closed, fetch, why
from matboard.images import decode, to_array, to_picture
from matboard.prompts import folder as files
from matboard.prompts.attached import attached
from matboard.prompts.canvas import Canvas, Patch, region, valid_range
from matboard.prompts.card import model_card
from matboard.prompts.published import read_published
from matboard.prompts.record import SCHEMA_VERSION, Score, check_plain

Picture: TypeAlias = Image.Image | str | Path | NDArray[Any]
"""What a prompt is put on: a PIL picture, a picture's file, or an array of pixels."""

RANGES = ("clamped", "sigmoid", "free")
GREY = (128, 128, 128)


class VisualPrompt(ModelHubMixin):  # type: ignore[misc]
    """A pixel prompt to apply.

    Args:
        canvas: the canvas it was learned on.
        perturbation: ``3 size size``, float32; what is added to the placed picture. Zero outside
            the layout's region.
        layout: ``border``, ``patch`` or ``full``.
        range: ``clamped`` and ``sigmoid`` stay where they can change an 8-bit picture; ``free`` may
            not (see `clipped`).
        patch: where a patch lies; None for other layouts.
        config: everything else worth knowing: source models, objective, data, seed, licence …; JSON
            values. `matboard.prompts.record.Described` names what matboard reads of it.

    Attributes:
        region: ``size size``, True where the prompt acts.

    Raises:
        PromptError: a wrong shape, a value that is not finite, out of range, or outside the
            layout's region; a ``config`` that JSON cannot carry.
        ConfigError: an impossible geometry.
    """

    def __init__(
        self,
        canvas: Canvas,
        perturbation: NDArray[Any],
        layout: str = "border",
        range: str = "clamped",
        patch: Patch | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.canvas = canvas
        self.layout = layout
        self.range = range
        self.patch = patch
        if np.iscomplexobj(perturbation):
            raise PromptError(
                "The perturbation has complex values; expected real ones."
            )
        with np.errstate(
            over="ignore"
        ):  # what overflows is not finite, and refused as such
            self.perturbation = np.array(perturbation, dtype=np.float32)
        self.perturbation.flags.writeable = False
        self.config = dict(config or {})
        self._hub_mixin_config = (
            None  # the mixin would write a second configuration file from it
        )
        self._check()
        if self.clipped:
            self.config["warning"] = (
                f"{self.clipped:.1%} of the learned values cannot be carried by an 8-bit picture;"
                " apply clamps them."
            )

    def _check(self) -> None:
        if self.range not in RANGES:
            raise UnknownName("value range", self.range, RANGES)
        expected = (3, self.canvas.size, self.canvas.size)
        if self.perturbation.shape != expected:
            raise PromptError(
                f"The perturbation has shape {self.perturbation.shape}; its canvas needs"
                f" {expected}."
            )
        self.region = region(self.canvas, self.layout, self.patch)
        if not np.isfinite(self.perturbation).all():
            raise PromptError(
                "The perturbation holds values that are not finite (NaN or infinity); such a prompt"
                " cannot be used."
            )
        if self.perturbation[:, ~self.region].any():
            raise PromptError(
                f"The perturbation is not zero outside its {self.layout}; canvas and tensor do not"
                " belong together."
            )
        if self.range != "free" and self.clipped:
            low, high = valid_range(self.layout)
            raise PromptError(
                f"{self.clipped:.1%} of the perturbation lies outside [{low:g}, {high:g}], which"
                f" range {self.range!r} does not allow; such a prompt has range 'free'."
            )
        try:
            check_plain(self.config)
        except PromptError as error:
            raise PromptError(f"A prompt's config {error}.") from error

    @property
    def width(self) -> int:
        """Width of the border, in pixels."""
        return self.canvas.width

    @property
    def clipped(self) -> float:
        """Share of the learned values, in [0, 1], that no 8-bit picture can carry; `apply` clamps
        them. 0 unless the range is ``free``.
        """
        low, high = valid_range(self.layout)
        values = self.perturbation[:, self.region]
        return float(((values < low) | (values > high)).mean())

    def apply(self, image: Picture) -> Image.Image:
        """The picture with the prompt, ``size × size`` 8-bit RGB.

        What training saw, to half a level of 256. Values of a ``free`` prompt are clamped to what a
        picture can carry.

        Args:
            image: a PIL picture, a picture's file, or an array: uint8 ``height width 3``, or
                floats in [0, 1] as ``3 height width``.

        Raises:
            ImageError: no such thing came.
        """
        inner = self.canvas.shrink(as_picture(image))
        if self.layout == "border":
            prompted = self._frame.copy()
            prompted.paste(inner, (self.width, self.width))
            return prompted
        return to_picture(to_array(inner) + self.perturbation)

    def attach(self, processor: Any) -> Any:
        """A transformers processor or image processor that puts this prompt on every picture and
        then works as before: in pipelines, for chats, batches, addresses and files.

        The processor itself stays as it is. What comes back is a view of it, of a class derived
        from its own: attributes, methods and settings are shared. ``.original`` is the processor
        again, ``.visual_prompt`` the prompt, ``with view.disabled():`` lets pictures through
        untouched. ``save_pretrained`` saves the processor, and the prompt in ``visual_prompt/``
        beside it. Pictures are what it is given as ``images``; videos pass untouched.

        Raises:
            ModelError: not a transformers processor, one without an image processor, or one that
                has a prompt already.
            ImageError: from the processor: what is no picture, or is normalised already.
        """
        return attached(self, processor)

    def __repr__(self) -> str:
        return f"VisualPrompt({self.geometry}, {self.range})"

    @property
    def geometry(self) -> str:
        """As people read it: ``border 30 of 224``."""
        size = self.canvas.size
        policy = "" if self.canvas.policy == "crop" else f", {self.canvas.policy}"
        if self.layout == "patch" and self.patch is not None:
            patch = self.patch
            return f"patch {patch.side} at {patch.top}, {patch.left} of {size}{policy}"
        if self.layout == "full":
            return f"full frame of {size}{policy}"
        return f"border {self.width} of {size}{policy}"

    @property
    def fingerprint(self) -> str:
        """The content address of what it does to a picture."""
        place = repr((self.canvas, self.layout, self.patch))
        return hashlib.sha256(self.perturbation.tobytes() + place.encode()).hexdigest()

    @cached_property
    def _frame(self) -> Image.Image:
        return to_picture(self.perturbation)

    def preview(self) -> Image.Image:
        """The prompt on a grey picture."""
        return self.apply(
            Image.new("RGB", (self.canvas.inner, self.canvas.inner), GREY)
        )

    def _repr_png_(self) -> bytes:
        """The preview, where a notebook shows it."""
        file = io.BytesIO()
        self.preview().save(file, format="PNG")
        return file.getvalue()

    def blank(self) -> VisualPrompt:
        """The same geometry with nothing learned: the shrunk picture on black. A baseline of every
        transfer table.
        """
        return self._like(np.zeros_like(self.perturbation), {"baseline": "blank"})

    def flat(self, level: float) -> VisualPrompt:
        """The same geometry at one level everywhere: a prompt that starts from a level, before it
        has learned anything.
        """
        values = np.full_like(self.perturbation, level)
        return self._like(values, {"baseline": "flat", "level": level})

    def noise(self, seed: int) -> VisualPrompt:
        """The same geometry with uniform random values over the valid range. A baseline of every
        transfer table.
        """
        low, high = valid_range(self.layout)
        drawn = np.random.default_rng(seed).uniform(
            low, high, size=self.perturbation.shape
        )
        return self._like(drawn, {"baseline": "noise", "seed": seed})

    def _like(
        self, values: NDArray[np.floating], config: Mapping[str, Any]
    ) -> VisualPrompt:
        inside = (values * self.region).astype(np.float32)
        return VisualPrompt(
            self.canvas, inside, self.layout, "clamped", self.patch, config
        )

    def with_scores(self, scores: Iterable[Score], **more: Any) -> VisualPrompt:
        """The same prompt, its description telling how models did with it: what the model card
        shows.

        Args:
            more: anything else to remember about it, such as ``license="cc-by-4.0"``.
        """
        told = [score.model_dump(mode="json", exclude_none=True) for score in scores]
        config = {**self.config, **more, "scores": told}
        return VisualPrompt(
            self.canvas, self.perturbation, self.layout, self.range, self.patch, config
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the folder. Raises PromptError, and then leaves a whole prompt behind."""
        description = self.description()
        card = model_card(description)
        files.write(
            save_directory, description, self.perturbation, self.preview(), card
        )

    def description(self) -> dict[str, Any]:
        """All but the pixels, as written to ``prompt_config.json``; ``matboard_version`` is that of
        the first saving.
        """
        own: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "kind": "pixel",
            "layout": self.layout,
            "range": self.range,
            "canvas": asdict(self.canvas),
        }
        if self.patch:
            own["patch"] = asdict(self.patch)
        return {**own, "matboard_version": version("matboard"), **self.config, **own}

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> VisualPrompt:
        """Read a folder, or fetch one from the Hub by its id. Raises PromptError."""
        folder = Path(pretrained_model_name_or_path)
        if not _exists(folder):
            folder = _fetch(str(pretrained_model_name_or_path), revision, token)
        description, values = files.read(folder)
        return _assemble(folder, description, values)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Save and upload the four files as one commit; the repository is created where there is
        none.

        Args:
            repo_id: ``owner/name``.
            options: ``private``, ``token``, ``commit_message``, ``branch`` and others of
                huggingface_hub's ``ModelHubMixin.push_to_hub``.

        Returns:
            The commit's address.

        Raises:
            PromptError: the Hub cannot be reached or does not take it; or it should be private, and
                the repository is there and open to all.
        """
        try:
            if options.get("private"):
                check_closed(repo_id, options.get("token"))
            return str(super().push_to_hub(repo_id, **options))
        except REFUSALS as error:
            raise PromptError(
                f"The prompt was not pushed to {repo_id!r}: {why(error) or first_line(error)}."
            ) from error


def load_prompt(path_or_id: str | Path) -> VisualPrompt:
    """Load a prompt from a folder, from the Hub by id, from a PNG file that shows it like
    ``preview.png``, or from a ``.pth`` file as the authors of arXiv 2404.11207 publish it.

    Raises PromptError: missing, unreadable, not finite, of a wrong shape, out of range, from a
    newer matboard, or the Hub is out of reach.
    """
    path = Path(path_or_id)
    if path.suffix == ".png":
        return _from_picture(path)
    if path.suffix not in (".pth", ".pt"):
        return VisualPrompt.from_pretrained(path_or_id)
    values = read_published(path)
    width = _border_width(values)
    config = {
        "canvas": {"size": values.shape[1], "width": width},
        "layout": "border" if width else "full",
        "range": "free",
        "imported_from": path.name,
    }
    return _assemble(path, config, values)


def _from_picture(file: Path) -> VisualPrompt:
    """The border that a picture shows around a square of one colour. Raises PromptError."""
    try:
        pixels = to_array(decode(file))
    except ImageError as error:
        raise PromptError(str(error)) from error
    height, side = pixels.shape[1:]
    middle = pixels[:, height // 2, side // 2]
    width = _border_width(pixels - middle[:, None, None]) if height == side else 0
    if not width:
        raise PromptError(
            f"{file} shows no prompt: expected a square picture that is one colour inside a border,"
            " as the preview.png of a prompt's folder is."
        )
    canvas = Canvas(side, width)
    config = {"imported_from": file.name}
    return VisualPrompt(canvas, pixels * canvas.mask(), config=config)


def as_picture(source: Picture) -> Image.Image:
    """A picture out of what users hold: see `VisualPrompt.apply`. Raises ImageError."""
    if isinstance(source, Image.Image):
        return decode(source)
    if isinstance(source, str | Path):
        return decode(Path(source))
    if not isinstance(source, np.ndarray):
        raise ImageError(
            f"A value of type {type(source).__name__} came; expected a PIL picture, a picture's"
            " file, or an array of pixels."
        )
    if (
        source.dtype == np.uint8
        and source.ndim == 3
        and source.shape[2] == 3
        and source.size
    ):
        return Image.fromarray(np.ascontiguousarray(source))
    floats = np.issubdtype(source.dtype, np.floating) and source.ndim == 3
    if (
        floats
        and source.shape[0] == 3
        and source.size
        and 0 <= source.min() <= source.max() <= 1
    ):
        return to_picture(source)
    raise ImageError(
        f"An array of {source.dtype} and shape {source.shape} came; expected uint8 as (height,"
        " width, 3), or floats in [0, 1] as (3, height, width)."
    )


def _exists(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:  # a name too long for the file system
        return False


def _fetch(repo_id: str, revision: str | None, token: str | bool | None) -> Path:
    wanted = list(files.FILES)
    try:
        folder = fetch(repo_id, wanted, revision=revision, token=token)
    except HubError as error:
        raise PromptError(
            f"There is no folder {repo_id!r} here, and the Hugging Face Hub did not give a prompt"
            f" of that name: {error}. Expected a prompt's folder, a PNG or .pth file, or a Hub"
            " id (owner/name)."
        ) from error
    if not (folder / files.CONFIG).exists():
        raise PromptError(
            f"{repo_id!r} on the Hugging Face Hub holds no prompt: it has no {files.CONFIG}."
        )
    return folder


def _assemble(
    source: Path, description: dict[str, Any], values: NDArray[np.floating]
) -> VisualPrompt:
    """The prompt that a file describes; whatever is wrong with it, the error names the file."""
    own = ("schema_version", "kind", "layout", "range", "canvas", "patch", "warning")
    config = {key: value for key, value in description.items() if key not in own}
    place = description.get("patch")
    try:
        return VisualPrompt(
            Canvas(**description["canvas"]),
            values,
            description["layout"],
            description["range"],
            Patch(**place) if place else None,
            config,
        )
    except (PromptError, ConfigError) as error:
        raise PromptError(f"{source}: {error}") from error


def _border_width(perturbation: NDArray[np.float32]) -> int:
    """Width of the ring around the largest centred zero square; 0 where there is no such square."""
    size = perturbation.shape[1]
    near = np.minimum(np.arange(size), np.arange(size)[::-1])
    ring = np.minimum(near[:, None], near[None, :])
    width = int(ring[perturbation.any(axis=0)].max(initial=-1)) + 1
    return width if 2 * width < size else 0
