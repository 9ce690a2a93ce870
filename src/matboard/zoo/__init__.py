"""Small vision-language models to try prompts on, and one door to every model: `load_model`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matboard import settings
from matboard.errors import ModelError, UnknownName
from matboard.extras import needed
from matboard.zoo.names import BACKBONES, MINI, MINI_GUIDE, TINY, TINY_GUIDE, folder_of

if TYPE_CHECKING:
    from matboard.models.capabilities import Backbone, Guide, VisionLanguageModel


def load_model(
    name: str, *, cache: Path | None = None, **options: Any
) -> VisionLanguageModel:
    """Load a frozen vision-language model by zoo name, folder or Hub id.

    Args:
        cache: where built zoo models lie; by default `settings.cache_dir`.
        options: for `matboard.models.vlm.loading.load`: dtype, device, template, trust_remote_code.

    Raises:
        ModelError: it cannot be had or driven.
    """
    with needed():
        from matboard.models.vlm.loading import load
        from matboard.zoo import architectures

    architectures.register()
    model = load(str(resolve(name, cache)), **options)
    model.name = name
    return model


def look_up(names: Iterable[str], *, cache: Path | None = None) -> None:
    """See that models can be had, by their configurations alone. Raises ModelError, UnknownName."""
    with needed():
        from matboard.models.vlm.loading import look_up
        from matboard.zoo import architectures

    architectures.register()
    for name in names:
        look_up(resolve(name, cache))


def load_guide(name: str, *, cache: Path | None = None, **options: Any) -> Guide:
    """Load an image-text model in one space (CLIP, SigLIP) by zoo name, folder or Hub id. Options:
    dtype, device. Raises ModelError.
    """
    with needed():
        from matboard.models.guide import load_guide as load
        from matboard.zoo import architectures

    architectures.register()
    return load(str(resolve(name, cache)), **options)


def load_backbone(
    name: str,
    *,
    cache: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Backbone:
    """Load a frozen vision transformer by zoo name (``tiny-vit``, ``clip-vit-b16``), folder or Hub
    id.

    Args:
        options: for `matboard.models.backbone.load`: side, dtype, device, pixels.

    Raises:
        ModelError: it cannot be had, or is no vision transformer.
        UnknownName: neither a name of ours, nor a folder, nor the form of a Hub id.
    """
    with needed():
        from matboard.models.backbone import load
        from matboard.zoo import architectures

    architectures.register()
    if name == "clip-vit-b16":
        from matboard.zoo import parts

        where = cache or settings.cache_dir()
        place: Path | str = parts.fetch("clip-vit-base-patch16", where, progress)
    elif "/" not in name and name not in BACKBONES and not Path(name).exists():
        raise UnknownName(
            "backbone", name, [*BACKBONES, "a folder", "a Hub id (owner/name)"]
        )
    else:
        place = resolve(TINY_GUIDE if name == "tiny-vit" else name, cache)
    backbone = load(str(place), **options)
    backbone.name = name
    return backbone


def resolve(name: str, cache: Path | None = None) -> Path | str:
    """Folder of a zoo model; any other name as it came. Raises ModelError for a mini model not
    built, UnknownName.
    """
    if name in TINY or name == TINY_GUIDE:
        return Path(__file__).parent / "weights" / "tiny" / name
    if name in MINI or name == MINI_GUIDE:
        folder = folder_of(name, cache or settings.cache_dir())
        if not (folder / "config.json").exists():
            raise ModelError(
                f"{name} is not built yet: expected {folder}. Run: matboard zoo build mini {name}"
            )
        return folder
    if "/" not in name and not Path(name).exists():
        known = [*TINY, *MINI, TINY_GUIDE, MINI_GUIDE]
        raise UnknownName("model", name, [*known, "a folder", "a Hub id (owner/name)"])
    return name


def build_mini(
    names: Sequence[str] | None, cache: Path | None, progress: Callable[[str], None]
) -> list[Path]:
    """Build models of the mini zoo, by default all and their guide. Raises UnknownName, and
    ModelError for a part that cannot be had.
    """
    with needed():
        from matboard.zoo import mini, mini_guide

    cache = cache or settings.cache_dir()
    wanted = names or [*MINI, MINI_GUIDE]
    models = [name for name in wanted if name != MINI_GUIDE]
    try:
        built = mini.build(models, cache, progress)
        if MINI_GUIDE in wanted:
            built.append(mini_guide.build(cache, progress))
    except OSError as error:
        if error.errno is None:  # transformers' own, about a model
            raise
        reason = (error.strerror or str(error)).lower()
        raise ModelError(
            f"{error.filename or cache} cannot be written or read ({reason}). Make room, or set"
            " MATBOARD_CACHE to another folder, and run the same command again."
        ) from error
    return built
