"""A learned pixel prompt as a thing to keep, share and use, without torch.

A folder of four files: ``prompt_config.json`` (what it is and where it came from),
``prompt.safetensors`` (the pixels), ``preview.png`` (how it looks) and ``README.md`` (a model
card). No pickle is ever loaded, except the file that the authors of arXiv 2404.11207 published, and
of that only tensors.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import ModelHubMixin
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load, save

from matboard.disk import flush_folder, publish
from matboard.errors import ConfigError, HubError, PromptError, UnknownName
from matboard.hub import CLIENT_ERRORS, fetch, first_line, why
from matboard.images import to_array, to_picture
from matboard.prompts.canvas import Canvas, Patch, region, valid_range
from matboard.prompts.card import model_card

SCHEMA_VERSION = 1
RANGES = ("clamped", "sigmoid", "free")
CONFIG, TENSOR, PREVIEW, CARD = (
    "prompt_config.json",
    "prompt.safetensors",
    "preview.png",
    "README.md",
)
WHOLE = ".saved"
"""Folder of files that are complete but not all in their places yet; what lies there is newer than
what lies outside.
"""
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
        config: everything else worth knowing: source models, objective, data, seed, metrics …; JSON
            values.

    Attributes:
        region: ``size size``, True where the prompt acts.

    Raises:
        PromptError: a wrong shape, a value that is not finite, out of range, or outside the
            layout's region.
        ConfigError: an impossible geometry.
    """

    def __init__(
        self,
        canvas: Canvas,
        perturbation: NDArray[np.float32],
        layout: str = "border",
        range: str = "clamped",
        patch: Patch | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.canvas, self.layout, self.range, self.patch = canvas, layout, range, patch
        self.perturbation = np.array(perturbation, dtype=np.float32)
        self.perturbation.flags.writeable = False
        self.config = dict(config or {})
        self._hub_mixin_config = None  # the mixin would write a second configuration file from it
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

    def apply(self, image: Image.Image) -> Image.Image:
        """The picture with the prompt, ``size × size`` 8-bit RGB.

        What training saw, to half a level of 256. Values of a ``free`` prompt are clamped to what a
        picture can carry. Raises ImageError.
        """
        inner = self.canvas.shrink(image)
        if self.layout == "border":
            prompted = self._frame.copy()
            prompted.paste(inner, (self.width, self.width))
            return prompted
        return to_picture(to_array(inner) + self.perturbation)

    @cached_property
    def _frame(self) -> Image.Image:
        return to_picture(self.perturbation)

    def preview(self) -> Image.Image:
        """The prompt on a grey picture."""
        return self.apply(Image.new("RGB", (self.canvas.inner, self.canvas.inner), GREY))

    def blank(self) -> VisualPrompt:
        """The same geometry with nothing learned: the shrunk picture on black. A baseline of every
        transfer table.
        """
        return VisualPrompt(
            self.canvas,
            np.zeros_like(self.perturbation),
            self.layout,
            "clamped",
            self.patch,
            {"baseline": "blank"},
        )

    def flat(self, level: float) -> VisualPrompt:
        """The same geometry at one level everywhere: a prompt that starts from a level, before it
        has learned anything.
        """
        values = (np.full_like(self.perturbation, level) * self.region).astype(np.float32)
        return VisualPrompt(
            self.canvas,
            values,
            self.layout,
            "clamped",
            self.patch,
            {"baseline": "flat", "level": level},
        )

    def noise(self, seed: int) -> VisualPrompt:
        """The same geometry with uniform random values over the valid range. A baseline of every
        transfer table.
        """
        values = np.random.default_rng(seed).uniform(
            *valid_range(self.layout), size=self.perturbation.shape
        )
        config = {"baseline": "noise", "seed": seed}
        return VisualPrompt(
            self.canvas,
            (values * self.region).astype(np.float32),
            self.layout,
            "clamped",
            self.patch,
            config,
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the four files aside, declare them whole by one renaming, then move each to its
        place. Raises PromptError.

        Killed or without power at any moment, the folder loads as the old prompt or as the new one,
        whole.
        """
        kept = "what was there before is untouched"
        try:
            _finish(save_directory)  # a saving that was killed
            flush_folder(save_directory.parent)
            with tempfile.TemporaryDirectory(dir=save_directory, prefix=".saving-") as name:
                self._write(Path(name) / "files")
                publish(Path(name) / "files", save_directory / WHOLE)
            kept = "the new prompt is whole, and loads"
            _finish(save_directory)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise PromptError(f"{save_directory} cannot be written ({reason}); {kept}.") from error

    def _write(self, folder: Path) -> None:
        tensor = save({"perturbation": self.perturbation})
        config = {**self.description(), "tensor_sha256": hashlib.sha256(tensor).hexdigest()}
        folder.mkdir()
        self.preview().save(folder / PREVIEW)
        (folder / CARD).write_text(model_card(self.description()), encoding="utf-8")
        (folder / TENSOR).write_bytes(tensor)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def description(self) -> dict[str, Any]:
        """All but the pixels, as written to ``prompt_config.json``; ``matboard_version`` is that of
        the first saving.
        """
        own = {
            "schema_version": SCHEMA_VERSION,
            "kind": "pixel",
            "layout": self.layout,
            "range": self.range,
            "canvas": asdict(self.canvas),
        }
        patch = {"patch": asdict(self.patch)} if self.patch else {}
        return {
            **own,
            **patch,
            "matboard_version": version("matboard"),
            **self.config,
            **own,
            **patch,
        }

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
        return _read_folder(
            folder
            if folder.exists()
            else _fetch(str(pretrained_model_name_or_path), revision, token)
        )

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
            PromptError: the Hub cannot be reached or does not take it.
        """
        try:
            return str(super().push_to_hub(repo_id, **options))
        except CLIENT_ERRORS as error:
            raise PromptError(
                f"The prompt was not pushed to {repo_id!r}: {why(error) or first_line(error)}."
            ) from error


def load_prompt(path_or_id: str | Path) -> VisualPrompt:
    """Load a prompt from a folder, from the Hub by id, or from a ``.pth`` file as the authors of
    arXiv 2404.11207 publish it.

    Raises PromptError: missing, unreadable, not finite, of a wrong shape, out of range, from a
    newer matboard, or the Hub is out of reach.
    """
    path = Path(path_or_id)
    if path.suffix in (".pth", ".pt"):
        return _read_authors_file(path)
    return VisualPrompt.from_pretrained(path_or_id)


def _fetch(repo_id: str, revision: str | None, token: str | bool | None) -> Path:
    try:
        folder = fetch(repo_id, [CONFIG, TENSOR, PREVIEW, CARD], revision=revision, token=token)
    except HubError as error:
        raise PromptError(
            f"There is no folder {repo_id!r} here, and the Hugging Face Hub did not give a prompt"
            f" of that name: {error}. Expected a prompt's folder, a .pth file, or a Hub id"
            " (owner/name)."
        ) from error
    if not (folder / CONFIG).exists():
        raise PromptError(
            f"{repo_id!r} on the Hugging Face Hub holds no prompt: it has no {CONFIG}."
        )
    return folder


def _finish(folder: Path) -> None:
    """Move files that are whole to their places, the configuration last: where it lies in its
    place, so do the others.
    """
    whole = folder / WHOLE
    if whole.exists():
        for file in (PREVIEW, CARD, TENSOR, CONFIG):
            if (whole / file).exists():
                (whole / file).replace(folder / file)
        whole.rmdir()
        flush_folder(folder)


def _newest(folder: Path, file: str) -> Path:
    """Where a file lies; a saving that was killed may not have moved it to its place."""
    return folder / WHOLE / file if (folder / WHOLE / file).exists() else folder / file


def _read_folder(folder: Path) -> VisualPrompt:
    config = _read_config(_newest(folder, CONFIG))
    content = _read_bytes(_newest(folder, TENSOR))
    if config.pop("tensor_sha256", None) not in (None, hashlib.sha256(content).hexdigest()):
        raise PromptError(
            f"{folder / TENSOR} is not the tensor that {CONFIG} describes; one of the two was"
            " changed or damaged."
        )
    try:
        perturbation = load(content)["perturbation"]
    except (SafetensorError, KeyError) as error:
        raise PromptError(
            f"{folder / TENSOR} is damaged or holds no tensor 'perturbation' ({error})."
        ) from error
    return _assemble(folder, config, perturbation)


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(_read_bytes(file))
    except ValueError as error:
        raise PromptError(f"{file} is not JSON: {error}.") from error
    schema = config.get("schema_version") if isinstance(config, dict) else None
    if not isinstance(schema, int):
        raise PromptError(f"{file} states no schema version; it does not describe a prompt.")
    if schema > SCHEMA_VERSION:
        raise PromptError(
            f"{file} has schema version {schema}; this matboard reads up to {SCHEMA_VERSION}."
            " Upgrade matboard."
        )
    return dict(config)


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PromptError(
            f"{file} cannot be read ({reason}); a prompt's folder holds {CONFIG} and {TENSOR}."
        ) from error


def _assemble(source: Path, config: dict[str, Any], perturbation: NDArray[Any]) -> VisualPrompt:
    """The prompt that a file describes; whatever is wrong with it, the error names the file."""
    known = ("schema_version", "kind", "layout", "range", "canvas", "patch", "warning")
    extra = {key: value for key, value in config.items() if key not in known}
    try:
        canvas, patch = (
            Canvas(**config["canvas"]),
            Patch(**config["patch"]) if config.get("patch") else None,
        )
        return VisualPrompt(canvas, perturbation, config["layout"], config["range"], patch, extra)
    except (PromptError, ConfigError) as error:
        raise PromptError(f"{source}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise PromptError(
            f"{source}: {CONFIG} does not describe a pixel prompt ({type(error).__name__}:"
            f" {error})."
        ) from error


def _read_authors_file(file: Path) -> VisualPrompt:
    """``{"perturbation": Tensor(3, S, S)}``, without metadata: the width is what lies around the
    zero interior.
    """
    try:
        import torch
    except ImportError:
        raise PromptError(
            f"{file} is a torch file, and torch is not installed; pip install 'matboard[learn]' and"
            " try again."
        ) from None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        perturbation = content["perturbation"].detach().float().numpy()
    except Exception as error:  # torch.load raises a dozen kinds on a damaged or hostile file
        raise PromptError(
            f"{file} is not a file {{'perturbation': tensor}}: {str(error).splitlines()[0]}"
        ) from error
    if (
        perturbation.ndim != 3
        or perturbation.shape[0] != 3
        or perturbation.shape[1] != perturbation.shape[2]
    ):
        raise PromptError(
            f"{file} holds a perturbation of shape {perturbation.shape}; expected (3, size, size)."
        )
    size, width = perturbation.shape[1], _border_width(perturbation)
    layout = "border" if width else "full"
    config = {
        "canvas": {"size": size, "width": width},
        "layout": layout,
        "range": "free",
        "imported_from": file.name,
    }
    return _assemble(file, config, perturbation)


def _border_width(perturbation: NDArray[np.float32]) -> int:
    """Width of the ring around the largest centred zero square; 0 where there is no such square."""
    size = perturbation.shape[1]
    near = np.minimum(np.arange(size), np.arange(size)[::-1])
    ring = np.minimum(near[:, None], near[None, :])
    width = int(ring[perturbation.any(axis=0)].max(initial=-1)) + 1
    return width if 2 * width < size else 0
