"""A model and its parts, from the Hub or from a folder."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    ProcessorMixin,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.utils import cached_file

from matboard.errors import ModelError
from matboard.extras import require
from matboard.hub import CLIENT_ERRORS, answers, why
from matboard.models.devices import precision_of
from matboard.models.families import family_of
from matboard.models.precision import MIXED, keep_eye_exact
from matboard.models.processors.check import PROBES, probe
from matboard.models.vlm.adapter import HuggingFaceVLM
from matboard.models.vlm.official import QUESTION, ListeningImageProcessor

Quantised: TypeAlias = Literal["4bit", "8bit"]

LOADING_ERRORS: tuple[type[Exception], ...] = (*CLIENT_ERRORS, KeyError, ImportError)
"""What transformers raises where a part is missing, broken, of no known kind, or does not come from
the Hub.
"""


def load_part(auto: Any, what: str, place: str, **options: Any) -> Any:
    """One part of a model by its Auto class. Raises ModelError where it cannot be had."""
    if not Path(place).exists() and not answers():
        options["local_files_only"] = True
    try:
        return auto.from_pretrained(place, **options)
    except LOADING_ERRORS as error:
        expected = (
            f"{place!r} yields no {what}; expected a Hub id or a folder that transformers"
            " saved."
        )
        if reason := why(error):
            raise ModelError(
                f"{expected} There is no such folder here, and the Hugging Face Hub did not give"
                f" it: {reason}."
            ) from error
        raise ModelError(
            f"{expected} It said: {' '.join(str(error).split())[:300]}"
        ) from error


def load(
    id_or_folder: str,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    template: str | None = None,
    trust_remote_code: bool = False,
    quantise: Quantised | None = None,
    device_map: str | None = None,
) -> HuggingFaceVLM:
    """A vision-language model from the Hub or from a folder.

    What a prompt is learned through is compared with the official processor now; a model on which
    none can be learned comes with a warning and its ``refusal``: it can be judged on.

    Args:
        dtype: of the weights; where None bfloat16 on a GPU that computes in it, else float32.
            ``"mixed"``: the eye's float32, all others bfloat16; see `matboard.models.precision`.
        device: where it shall run; a GPU where there is one.
        template: the prompt, see `PromptTemplate`; else the folder's chat template, else its
            family's.
        trust_remote_code: whether code that comes with the model may run.
        quantise: weights in 4 bits (NF4) or in 8 (LLM.int8), by bitsandbytes.
        device_map: how accelerate lays a model over several devices, ``"auto"`` say.

    Raises:
        ModelError: nothing there, a part is missing, or the family cannot be driven.
        MissingExtra: bitsandbytes is not installed.
    """
    place = str(id_or_folder)
    trust = {"trust_remote_code": trust_remote_code}
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or precision_of(where)
    laid = _laid(dtype, where, quantise, device_map)
    model = _model(place, dtype, where, {**trust, **laid})
    parts = _processing_parts(place, model, trust)
    official = official_processor(place, model.config.model_type, parts, **trust)
    tokenizer = parts["tokenizer"]
    chats = (getattr(official, "chat_template", None), tokenizer.chat_template)
    tokenizer.chat_template = chats[0] or chats[1] or older_chat_template(place)
    loaded = HuggingFaceVLM(
        model,
        **parts,
        official=official,
        template=template,
        name=place,
    )
    if quantise is not None:
        loaded.settings = f"weights of {quantise.removesuffix('bit')} bits"
    if dtype == MIXED:
        _check_mixed(loaded)
    _warn(loaded)
    return loaded


def _laid(
    dtype: torch.dtype | str,
    device: torch.device,
    quantise: Quantised | None,
    device_map: str | None,
) -> dict[str, Any]:
    """What transformers is told of a model's weights beside their precision; nothing where they
    are loaded as they are and moved as a whole. Raises ModelError, MissingExtra.
    """
    if quantise is None and device_map is None:
        return {}
    if dtype == MIXED:
        raise ModelError(
            "Precision mixed goes with neither quantise nor device_map; choose float32 or bfloat16."
        )
    if quantise is None:
        return {"device_map": device_map}
    require("bitsandbytes")
    full = dtype in ("float32", torch.float32)
    computed = torch.float32 if full else torch.bfloat16
    settings = transformers.BitsAndBytesConfig(
        load_in_4bit=quantise == "4bit",
        load_in_8bit=quantise == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=computed,
    )
    return {"quantization_config": settings, "device_map": device_map or {"": device}}


def _model(
    place: str, dtype: torch.dtype | str, device: torch.device, told: dict[str, Any]
) -> Any:
    """The weights, where they shall run."""

    def loaded(precision: torch.dtype | str) -> Any:
        options = {"dtype": precision, **told}
        found = load_part(AutoModelForImageTextToText, "model", place, **options)
        return quick_attention(found if "device_map" in told else found.to(device))

    if dtype != MIXED:
        return loaded(dtype)
    exact = _eye(loaded(torch.float32))
    model = loaded(torch.bfloat16)
    keep_eye_exact(model, _eye(model), exact)
    return model


def _check_mixed(model: HuggingFaceVLM) -> None:
    """Raises ModelError for a model whose parts do not take one another's precision."""
    try:
        with torch.no_grad():
            model.answer_loss([probe(*PROBES[0])], [QUESTION], ["a"])
    except Exception as error:  # anybody's code
        raise ModelError(
            f"{type(model.model).__name__} cannot run with its eye in float32 and all else in"
            f" bfloat16 ({' '.join(str(error).split())[:200]}); load it in one precision, float32"
            " or bfloat16."
        ) from error


def _eye(model: Any) -> Any:
    return family_of(model).fusion(model).eye


def quick_attention(model: Any) -> Any:
    """A transformers model with the attention whose backward is quick where it lies.

    In bfloat16 on a CPU that is plain products ("eager"): torch's fused attention has a slow
    backward there, a step takes 1.1 to 1.3 times as long, and is no quicker forward (measured, see
    docs/log.md). Everywhere else attention stays as transformers chose it.
    """
    if model.device.type == "cpu" and model.dtype == torch.bfloat16:
        quiet = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()  # BLIP's text side has no choice
        model.set_attn_implementation("eager")
        transformers.logging.set_verbosity(quiet)
    return model


def _processing_parts(place: str, model: Any, trust: dict[str, Any]) -> dict[str, Any]:
    """Image processor and tokenizers, by the name of the adapter's argument."""
    eye = {"backend": "pil", **trust}
    parts = {
        "image_processor": load_part(
            AutoImageProcessor, "image processor", place, **eye
        ),
        "tokenizer": load_part(AutoTokenizer, "tokenizer", place, **trust),
    }
    fusion = family_of(model).fusion(model)
    if "qformer_input_ids" in fusion.inputs:
        within = {"subfolder": "qformer_tokenizer", **trust}
        parts["qformer_tokenizer"] = load_part(
            AutoTokenizer, "Q-Former tokenizer", place, **within
        )
    return parts


def _warn(model: HuggingFaceVLM) -> None:
    """Say, at the place that loads a model, what it is not good for."""
    if model.refusal is not None:
        warnings.warn(
            f"{model.name} was loaded for evaluation only, no prompt can be learned on it."
            f" {model.refusal}",
            stacklevel=3,
        )
    elif model.preprocess.deviation is not None:
        warnings.warn(f"{model.name}: {model.preprocess.deviation}", stacklevel=3)


def look_up(id_or_folder: str | Path) -> None:
    """Read a model's configuration and nothing else. Raises ModelError where there is no model of a
    known kind.
    """
    load_part(AutoConfig, "configuration", str(id_or_folder))


def older_chat_template(place: str) -> str | None:
    """The chat template where transformers 4 kept a processor's."""
    try:
        file = cached_file(place, "chat_template.json")
        kept: str = json.loads(Path(file).read_text(encoding="utf-8"))["chat_template"]
    except OSError:
        return None
    return kept


def official_processor(
    place: str,
    model_type: str,
    parts: dict[str, Any],
    *,
    trust_remote_code: bool = False,
) -> Any:
    """A model's own processor around the given parts; None where it cannot be had.

    It is put together here, and not by AutoProcessor, because many processors hold one for videos
    or sounds as well, which needs libraries that pictures do not; it is left out.

    Args:
        model_type: of the model's configuration; it names the processor where the folder does not.
        parts: by the name of the processor's argument, ``image_processor`` and ``tokenizer`` at
            least.
    """
    if trust_remote_code:
        return _by_its_own_code(place)
    try:
        told, _ = ProcessorMixin.get_processor_dict(place)
        name = told.get("processor_class") or PROCESSOR_MAPPING_NAMES.get(model_type)
        kind = getattr(transformers, name or "", None)
        return None if kind is None else assemble(kind, parts, told)
    except Exception:  # whatever it is, the model can be judged without
        return None


def _by_its_own_code(place: str) -> Any:
    try:
        options = {"backend": "pil", "trust_remote_code": True}
        made = transformers.AutoProcessor.from_pretrained(place, **options)
        made.image_processor = ListeningImageProcessor(made.image_processor)
    except Exception:  # anybody's code
        return None
    return made


def assemble(
    kind: Any, parts: dict[str, Any], told: dict[str, Any] | None = None
) -> Any:
    """A processor of a class from its parts; what is missing among them is left out.

    Args:
        told: its ``processor_config.json``.
    """
    made: Any = type(kind.__name__, (_OfPictures, kind), {})
    given = {
        **parts,
        "image_processor": ListeningImageProcessor(parts["image_processor"]),
    }
    for name, part in given.items():
        if "tokenizer" in name:
            given[name] = copy.deepcopy(part)  # some processors change theirs
    arguments = [given.get(name) for name in made.get_attributes()]
    return made.from_args_and_dict(arguments, dict(told or {}))


class _OfPictures:
    """Takes whatever it is given for its parts, which its description would choke on."""

    def __repr__(self) -> str:
        return type(self).__name__

    def check_argument_for_proper_class(
        self, argument_name: str, argument: Any
    ) -> type:
        return type(argument)
