"""Libraries that pip installs only when asked: what brings each, said in one sentence.

Applying a prompt needs none of them. Whoever asks for more without having them is told the command,
not shown a traceback.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from matboard.errors import MissingExtra

EXTRAS = {
    "accelerate": "learn",
    "bitsandbytes": "quantise",
    "jaxtyping": "learn",
    "jinja2": "learn",
    "matplotlib": "learn",
    "torch": "learn",
    "tqdm": "learn",
    "transformers": "learn",
    "gguf": "zoo",
    "onnx": "zoo",
    "sentencepiece": "zoo",
    "pyarrow": "data",
    "scipy": "data",
    "lm_eval": "harness",
    "sklearn": "analyse",
    "openai": "endpoints",
    "fastapi": "serve",
    "httpx2": "proxy",
    "starlette": "proxy",
    "uvicorn": "proxy",
    "cma": "cma",
    "optuna": "search",
    "ray": "ray",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
}
"""Library, by the name it is imported by → the extra of matboard that installs it."""


@contextmanager
def needed() -> Iterator[None]:
    """Around imports: where a library of `EXTRAS` is not installed, raises MissingExtra."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise MissingExtra(library, EXTRAS[library]) from None


def require(library: str) -> None:
    """See that a library of `EXTRAS` is there, without importing it. Raises MissingExtra."""
    with needed():
        if importlib.util.find_spec(library) is None:
            raise ModuleNotFoundError(name=library)
