"""The six models of arXiv 2404.11207 as their authors published them, said without loading torch:
where they are, and how to get a folder that `matboard.load_model` takes.
"""

from __future__ import annotations

from dataclasses import dataclass

LAVIS = "https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models"


@dataclass(frozen=True)
class PublishedModel:
    """One of the six.

    Attributes:
        title: as its authors call it.
        how: a Hub id that is ready, or the command that makes a folder.
        files: where its weights are, and how large.
        licence: of the weights, as far as known.
    """

    title: str
    how: str
    files: tuple[str, ...]
    licence: str


_EYE = f"eva_vit_g.pth  {LAVIS}/BLIP2/eva_vit_g.pth  2.0 GB"
_VICUNA_V0 = "Vision-CAIR/vicuna-7b  Vicuna-7B v0, float16, 13 GB (guess)"

PAPER: dict[str, PublishedModel] = {
    "blip2": PublishedModel(
        "BLIP-2 FlanT5-XL",
        "Salesforce/blip2-flan-t5-xl",
        ("Salesforce/blip2-flan-t5-xl  float32, 16 GB (guess)",),
        "MIT (guess)",
    ),
    "instructblip": PublishedModel(
        "InstructBLIP Vicuna-7B",
        "Salesforce/instructblip-vicuna-7b",
        ("Salesforce/instructblip-vicuna-7b  float32, 32 GB (guess)",),
        "research only; LLaMA's own terms besides (guess)",
    ),
    "minigpt4": PublishedModel(
        "MiniGPT-4 Vicuna-7B v0",
        "matboard convert minigpt4",
        (
            "prerained_minigpt4_7b.pth  from the project's README; 38 MB (guess)",
            f"blip2_pretrained_flant5xxl.pth  {LAVIS}/BLIP2/blip2_pretrained_flant5xxl.pth"
            "  0.4 GB (guess)",
            _EYE,
            _VICUNA_V0,
        ),
        "code BSD-3; Vicuna: LLaMA's terms, research only",
    ),
    "vpgtrans": PublishedModel(
        "VPGTrans VL-Vicuna-7B",
        "matboard convert vpgtrans",
        (
            "vl-vicuna.pth  https://thunlp.oss-cn-qingdao.aliyuncs.com/vpgtrans/vl-vicuna.pth"
            "  size unknown",
            _EYE,
            _VICUNA_V0,
        ),
        "code BSD-3; Vicuna: LLaMA's terms, research only",
    ),
    "bliva": PublishedModel(
        "BLIVA Vicuna-7B",
        "matboard convert bliva",
        (
            "bliva_vicuna7b.pth  https://huggingface.co/mlpc-lab/BLIVA_Vicuna  size unknown",
            _EYE,
            "Vicuna-7B v0.1, which its PrepareVicuna.md says how to make  float16, 13 GB (guess)",
        ),
        "code BSD-3; weights LLaMA's terms, research only",
    ),
    "visualglm": PublishedModel(
        "VisualGLM-6B",
        "matboard convert visualglm",
        ("THUDM/visualglm-6b  float16, 15 GB",),
        "the VisualGLM-6B model licence",
    ),
}
"""File names, addresses and licences are those of the projects' own pages and code; what is marked
a guess was not looked up.
"""


def describe() -> list[str]:
    """One line a model: what it is, and how to get it."""
    lines = ["the six of arXiv 2404.11207 as published (docs/published_models.md):"]
    for name, model in PAPER.items():
        lines.append(f"  {name:14}{model.title:26}{model.how}")
    return lines
