"""Which tasks are corrupted versions of others, by the name they are asked for:
``cifar10/gaussian_noise-3`` (Hendrycks and Dietterich 2019, arXiv 1903.12261: 15 kinds, 5
severities).
"""

from __future__ import annotations

import re

from matboard.results.transfer import Corruption

FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
"""Their four families (Fig. 1 there), in their order."""
KINDS = tuple(kind for kinds in FAMILIES.values() for kind in kinds)
NAME = re.compile(rf"(?P<clean>.+)/(?P<kind>{'|'.join(KINDS)})-(?P<severity>[1-5])")


def corruption_of(name: str) -> Corruption | None:
    """What a task of that name is spoilt by; None where it is as its data set has it."""
    found = NAME.fullmatch(name)
    if found is None:
        return None
    severity = int(found["severity"])
    return Corruption(kind=found["kind"], severity=severity, clean=found["clean"])
