"""Small models to try prompts on, and one door to every model: `load_model`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matboard import settings
from matboard.errors import ModelError, UnknownName
from matboard.extras import needed
from matboard.registry import options_of
from matboard.zoo.names import (
    BACKBONES,
    MINI,
    MINI_CLASSIFIER,
    MINI_GUIDE,
    TINY,
    TINY_GUIDE,
    folder_of,
)

if TYPE_CHECKING:
    from matboard.models.capabilities import Backbone, FrozenModel, Guide

LOADERS = {
    "vlm": ("matboard.models.vlm.loading", "a vision-language model"),
    "dual_encoder": ("matboard.models.dual_encoder", "a dual encoder"),
    "classifier": ("matboard.models.classifier", "an image classifier"),
    "endpoint": ("matboard.models.endpoint", "a model behind an API"),
}
"""Kind of model → whose ``load`` loads it, and what people call it."""


def load_model(name: str, *, cache: Path | None = None, **options: Any) -> FrozenModel:
    """Load a frozen model by zoo name, folder or Hub id; its own configuration says of what kind.
    ``openai:MODEL@URL`` is a model behind an API.

    Args:
        cache: where built zoo models lie, and answers of models behind APIs; by default
            `settings.cache_dir`.
        options: ``dtype``, ``device``; of a vision-language model ``template`` and
            ``trust_remote_code`` (`matboard.models.vlm.loading.load`), of a dual encoder
            ``templates``, of an image classifier ``mapping``; for those of a model behind an API
            see `matboard.models.endpoint.load`.

    Raises:
        ModelError: it cannot be had or driven.
        UnknownName: an option that models of its kind do not have.
    """
    with needed():
        from matboard.models.endpoint_name import is_endpoint
        from matboard.models.kinds import kind_of
        from matboard.zoo import architectures

    architectures.register()
    place = str(resolve(name, cache))
    kind: str = "endpoint"
    if not is_endpoint(name):
        kind = "vlm" if options.get("trust_remote_code", False) else kind_of(place)
    module, what = LOADERS[kind]
    load = import_module(module).load
    known = [option for option in options_of(load) if option != "kept"]
    for option in options:
        if option not in known:
            raise UnknownName(f"option of {name}, which is {what},", option, known)
    if kind == "endpoint":
        options["kept"] = (cache or settings.cache_dir()) / "answers"
    model: FrozenModel = load(place, **options)
    model.name = name
    return model


def look_up(names: Iterable[str], *, cache: Path | None = None) -> None:
    """See that models can be had, by their configurations or by what a server lists. Raises
    ModelError, UnknownName.
    """
    with needed():
        from matboard.models import endpoint
        from matboard.models.endpoint_name import is_endpoint
        from matboard.models.kinds import kind_of
        from matboard.zoo import architectures

    architectures.register()
    for name in names:
        if is_endpoint(name):
            endpoint.look_up(name)
        else:
            kind_of(resolve(name, cache))


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
    if name in MINI or name in (MINI_GUIDE, MINI_CLASSIFIER):
        folder = folder_of(name, cache or settings.cache_dir())
        if not (folder / "config.json").exists():
            raise ModelError(
                f"{name} is not built yet: expected {folder}. Run: matboard zoo build mini {name}"
            )
        return folder
    if name.startswith("openai:"):
        return name
    if "/" not in name and not Path(name).exists():
        known = [*TINY, *MINI, TINY_GUIDE, MINI_GUIDE, MINI_CLASSIFIER]
        more = ["a folder", "a Hub id (owner/name)", "openai:MODEL@URL"]
        raise UnknownName("model", name, [*known, *more])
    return name


def build_mini(
    names: Sequence[str] | None, cache: Path | None, progress: Callable[[str], None]
) -> list[Path]:
    """Build models of the mini zoo, by default all, their guide and the classifier. Raises
    UnknownName, and ModelError for a part that cannot be had.
    """
    with needed():
        from matboard.zoo import mini, mini_classifier, mini_guide

    cache = cache or settings.cache_dir()
    others = {MINI_GUIDE: mini_guide, MINI_CLASSIFIER: mini_classifier}
    wanted = names or [*MINI, *others]
    models = [name for name in wanted if name not in others]
    try:
        built = mini.build(models, cache, progress)
        for name, module in others.items():
            if name in wanted:
                built.append(module.build(cache, progress))
    except OSError as error:
        if error.errno is None:  # transformers' own, about a model
            raise
        reason = (error.strerror or str(error)).lower()
        raise ModelError(
            f"{error.filename or cache} cannot be written or read ({reason}). Make room, or set"
            " MATBOARD_CACHE to another folder, and run the same command again."
        ) from error
    return built
