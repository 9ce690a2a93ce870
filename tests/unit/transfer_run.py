"""A transfer study's folder drawn from a seed: every number in it is test data and measures
nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

MODELS = [
    ("tiny-minigpt4", True, True),
    ("tiny-blip2", False, True),
    ("tiny-instructblip", False, True),
    ("tiny-vpgtrans", False, True),
    ("tiny-bliva", False, False),
    ("tiny-visualglm", False, False),
]
TASKS = [
    ("scenes-recognition/textures", "accuracy", 0.1),
    ("scenes-presence/noise", "accuracy", 0.5),
    ("scenes-reasoning/clutter", "auc", 0.5),
]
BASELINES = [
    ("full", "no prompt, full picture"),
    ("shrunk", "no prompt, shrunk, black border"),
    ("random", "random border"),
]
METHODS = ["vp", "evp", "tvp"]
N = 512


def interval(samples: np.ndarray) -> dict[str, float]:
    mean, half = float(samples.mean()), 1.96 * float(samples.std()) / len(samples) ** 0.5
    return {"value": mean, "low": mean - half, "high": mean + half}


def make_results(seed: int = 0, gain: float = 0.05, seeds: int = 3) -> dict[str, Any]:
    """A transfer table of Bernoulli draws; ``gain`` is what TVP adds to targets with the source's
    encoder, in probability.
    """
    rng = np.random.default_rng(seed)
    cells = []
    for model, is_source, shares in MODELS:
        for task, metric, chance in TASKS:
            base = chance + (0.9 - chance) * rng.uniform(0.3, 0.7)
            lift = {
                "full": 0.0,
                "shrunk": -0.05,
                "random": -0.08,
                "vp": -0.04,
                "evp": 0.0 * shares,
                "tvp": (gain if shares else 0.0) + 0.1 * is_source,
            }
            luck = rng.uniform(size=N)
            draws: dict[str, np.ndarray] = {}
            for condition, add in lift.items():
                runs = [
                    (luck * 0.8 + rng.uniform(size=N) * 0.2 < base + add).astype(float)
                    for _ in range(seeds if condition in METHODS else 1)
                ]
                draws[condition] = np.mean(runs, axis=0)
                cell = {
                    "model": model,
                    "task": task,
                    "condition": condition,
                    "scorer": "ranking",
                    "metric": metric,
                    "n": N,
                    "unparsable": None,
                }
                cell |= interval(draws[condition])
                cell["seeds"] = [float(run.mean()) for run in runs] if condition in METHODS else []
                known = [b for b, _ in BASELINES if b in draws and b != condition]
                cell["versus"] = {b: interval(draws[condition] - draws[b]) for b in known}
                cells.append(cell)
                if condition in ("full", "tvp"):
                    cells.append(
                        {
                            **cell,
                            "scorer": "generation",
                            "value": cell["value"] * 0.9,
                            "unparsable": 0.12,
                        }
                    )
    return {
        "schema": 1,
        "kind": "transfer",
        "seconds": 171.3,
        "sources": ["tiny-minigpt4"],
        "models": [
            {
                "name": n,
                "encoder": "ab12" if e else "cd34",
                "is_source": s,
                "shares_encoder": e,
                "extra": 1,
            }
            for n, s, e in MODELS
        ],
        "tasks": [{"name": n, "metric": m, "n": N, "chance": c} for n, m, c in TASKS],
        "conditions": (
            [{"name": m, "label": m.upper(), "kind": "method"} for m in METHODS]
            + [{"name": n, "label": label, "kind": "baseline"} for n, label in BASELINES]
        ),
        "cells": cells,
        "examples": [
            {
                "model": model,
                "task": TASKS[0][0],
                "question": "What is in the picture?",
                "answer": "circle",
                "condition": "tvp",
                "before": "square" if index else "circle",
                "after": "circle" if index < 2 else "<b>star</b>",
                "picture": f"examples/{index}-full.png",
                "prompted": f"examples/{index}-tvp.png",
            }
            for model, _, _ in MODELS
            for index in range(3)
        ],
        "notes": ["Every number on this page is drawn from a seed: test data."],
    }


def picture(rng: np.random.Generator, border: int) -> Image.Image:
    """A disc on a ground, shrunk into a border of noise where ``border`` > 0."""
    inner = Image.new("RGB", (224, 224), tuple(rng.integers(40, 220, 3).tolist()))
    ImageDraw.Draw(inner).ellipse((60, 50, 170, 160), fill=tuple(rng.integers(0, 255, 3).tolist()))
    if not border:
        return inner
    noise = np.kron(
        rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), np.ones((14, 14, 1), dtype=np.uint8)
    )
    canvas = Image.fromarray(
        np.clip(noise * 0.6 + rng.integers(0, 100, noise.shape), 0, 255).astype(np.uint8)
    )
    canvas.paste(inner.resize((224 - 2 * border,) * 2), (border, border))
    return canvas


def make_prompt(folder: Path, rng: np.random.Generator, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    canvas = picture(rng, 30)
    canvas.paste((0, 0, 0), (30, 30, 194, 194))
    canvas.save(folder / "preview.png")
    config = {
        "schema": 1,
        "kind": "border",
        "canvas": 224,
        "width": 30,
        "range": "clamped",
        "policy": "crop",
        "seed": seed,
    }
    config |= {
        "source_models": [{"name": "tiny-minigpt4", "revision": None}],
        "library_version": "0.1.0",
    }
    config |= {
        "objective": {
            "name": "tvp",
            "weights": {"feature_consistency": 0.005, "semantic_enrichment": 0.001},
        },
        "data_fingerprint": "9f" * 32,
    }
    (folder / "prompt_config.json").write_text(json.dumps(config))


def step_lines(run: str | None, steps: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    terms = ("task_loss", "feature_consistency", "semantic_enrichment")
    lines = []
    for step in range(1, steps + 1):
        decay = np.exp(-step / steps * 3)
        losses = {
            name: float(scale * (0.4 + decay) + rng.normal(0, 0.06))
            for name, scale in zip(terms, (2.0, 0.7, 0.3))
        }
        line: dict[str, Any] = {
            "step": step,
            "loss": sum(losses.values()),
            **losses,
            "lr": 10.0,
            "skipped": int(step > 40),
            "seconds": 0.2,
        }
        if step % 5 == 1:
            norms = {
                name: float(np.exp(rng.normal(-index * 2, 0.3))) for index, name in enumerate(terms)
            }
            line["gradient_norm"] = {**norms, "total": sum(norms.values())}
            line["gradient_cosine"] = {
                "task_loss~feature_consistency": float(np.tanh(rng.normal(-0.3, 0.2))),
                "task_loss~semantic_enrichment": 0.1,
            }
        line["per_model"] = {
            "tiny-minigpt4": {
                "task_loss": losses["task_loss"],
                "gradient_norm": float(np.exp(rng.normal())),
            }
        }
        lines.append({**line, "run": run} if run else line)
    lines[min(10, steps - 1)]["loss"] = float("nan")
    return lines


def make_run(folder: Path, *, study: bool = False, **options: Any) -> Path:
    """A finished run folder; a study holds three methods × three seeds."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    names = [f"{method}-s{seed}" for method in METHODS for seed in range(3)] if study else [None]
    for seed, name in enumerate(names):
        make_prompt(folder / "prompts" / name if name else folder / "prompt", rng, seed)
    lines = [line for name in names for line in step_lines(name, 200, rng)]
    (folder / "metrics.jsonl").write_text(
        "\n".join(json.dumps(line) for line in lines) + '\n{"step": 201, "lo'
    )
    (folder / "config.yaml").write_text(
        "prompt:\n  kind: border\n  width: 30\nseed: 0\nnote: </pre><script>alert(1)</script>\n"
    )
    (folder / "environment.json").write_text(
        json.dumps(
            {"python": "3.11.9", "cpus": 2, "command": ["matboard", "fit", "my config.yaml"]}
        )
    )
    (folder / "results.json").write_text(json.dumps(make_results(**options)))
    (folder / "examples").mkdir()
    for index in range(3):
        for name, border in (("full", 0), ("tvp", 30)):
            picture(np.random.default_rng(index), border).save(
                folder / "examples" / f"{index}-{name}.png"
            )
    return folder
