"""The smallest thing that a prompt can be learned on: fast, exact, and no network."""

import numpy as np
import torch
from PIL import Image

from matboard.models.capabilities import Answers, HasLikelihoods, Learnable
from matboard.prompts.canvas import Canvas
from matboard.prompts.pixel import PixelPrompt
from matboard.tasks.task import Sample, Task
from matboard.transfer.fit import Fit
from matboard.transfer.objective import Objective
from matboard.transfer.optimisers import NormalisedGradient, Schedule
from matboard.transfer.processes import Processes

CANVAS = Canvas(16, 4)


class PlainModel(Learnable, HasLikelihoods):
    """A model whose answers grow likelier as the canvas becomes like a fixed pattern."""

    def __init__(self, seed=0):
        self.name = f"plain-{seed}"
        generator = torch.Generator().manual_seed(seed)
        self.pattern = torch.rand(3, 16, 16, generator=generator)

    @property
    def refusal(self):
        return None

    def answer(self, images, questions, answers, *, terminator=False, **_):
        distances = (images - self.pattern).square().sum(dim=(1, 2, 3))
        lengths = torch.tensor([len(answer) + terminator for answer in answers])
        return Answers(distances * lengths, lengths)


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (10, 10, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def sample(name, i):
    answer = "ab" if i % 3 else "a"
    return Sample(f"{name}-{i}", lambda: picture(i), "what?", answer, ("a", "ab"))


def plain_task():
    train = tuple(sample("train", i) for i in range(12))
    return Task("plain", train, (sample("test", 0),))


def plain_fit(steps=4, **options):
    options = {
        "objective": Objective(),
        "optimiser": NormalisedGradient(Schedule(1.0, steps)),
        "batch_size": 4,
        "processes": Processes(),
        **options,
    }
    models = options.pop("models", [PlainModel()])
    prompt = options.pop("prompt", None) or PixelPrompt(CANVAS)
    return Fit(prompt, models, plain_task(), **options)
