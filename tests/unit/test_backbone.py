"""Vision backbones: the adapter walks the blocks as transformers itself does, and prompts enter
where they should.
"""

import logging

import pytest
import torch
import transformers as hf

from matboard import zoo
from matboard.errors import ConfigError, ModelError
from matboard.models.backbone import CLIP_MEAN, CLIP_STD, TransformerBackbone, load

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TOWERS = {
    "clip": (hf.CLIPVisionConfig, hf.CLIPVisionModel),
    "vit": (hf.ViTConfig, hf.ViTModel),
    "deit": (hf.DeiTConfig, hf.DeiTModel),
    "dinov2": (hf.Dinov2Config, hf.Dinov2Model),
    "siglip": (hf.SiglipVisionConfig, hf.SiglipVisionModel),
    "blip2": (hf.Blip2VisionConfig, hf.Blip2VisionModel),
}


def tower(kind, **more):
    torch.manual_seed(3)
    config, model = TOWERS[kind]
    made = model(config(**SMALL, **more)).eval()
    for p in made.parameters():
        p.data.normal_(0, 0.2)
    return made


@pytest.fixture(params=TOWERS)
def kind(request):
    return request.param


def images(side=32, count=2):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("side", [32, 48])
def test_without_prompts_it_is_transformers_own_forward(kind, side):
    model = tower(kind)
    backbone = TransformerBackbone(model, kind, side)
    pixels = (images(side) - 0.5) / 0.5
    options = {} if kind == "dinov2" else {"interpolate_pos_encoding": True}
    official = model(pixels, **options)
    out = backbone.forward(backbone.embed(images(side)))
    no_pooler = kind in (
        "vit",
        "deit",
        "dinov2",
        "blip2",
    )  # theirs is another layer, or norms twice
    wanted = official.last_hidden_state[:, 0] if no_pooler else official.pooler_output
    assert torch.allclose(out.pooled, wanted, atol=1e-5)
    assert torch.allclose(backbone.query(images(side)), wanted, atol=1e-5)
    if (
        kind != "clip"
    ):  # CLIP norms its CLS only; here the same norm goes over every token
        assert torch.allclose(out.tokens, official.last_hidden_state, atol=1e-5)


def test_patches_are_the_embedding_without_positions(kind):
    backbone = TransformerBackbone(tower(kind), kind)
    table = backbone.tower.embeddings
    for name in ("position_embedding", "position_embeddings"):
        place = getattr(table, name, None)
        if place is not None:
            (place.weight if hasattr(place, "weight") else place).data.zero_()
    whole = backbone.embed(images())
    assert torch.allclose(
        backbone.patch_embed(images())[:, :16], whole[:, backbone.special :], atol=1e-5
    )
    assert backbone.patch_embed(images(16)).shape == (2, 4, 32)


def test_prompts_enter_behind_the_special_tokens_and_are_replaced_deeper(kind):
    backbone = TransformerBackbone(tower(kind), kind)
    tokens = backbone.embed(images())
    first, second = torch.randn(2, 3, 32), torch.randn(2, 1, 32)
    hidden = torch.cat(
        [tokens[:, : backbone.special], first, tokens[:, backbone.special :]], dim=1
    )
    hidden = backbone.advance(hidden, start=0, stop=2)
    hidden = torch.cat(
        [hidden[:, : backbone.special], second, hidden[:, backbone.special + 3 :]],
        dim=1,
    )
    hidden = backbone.advance(hidden, start=2)
    by_hand = backbone._after(hidden)
    out = backbone.forward(tokens, {0: first, 2: second})
    assert out.prompts.shape == (2, 1, 32) and out.tokens.shape == tokens.shape
    assert torch.allclose(
        out.prompts, by_hand[:, backbone.special : backbone.special + 1], atol=1e-5
    )
    assert torch.allclose(
        out.tokens[:, backbone.special :], by_hand[:, backbone.special + 1 :], atol=1e-5
    )


def test_starting_at_a_later_block_is_the_same(kind):
    backbone = TransformerBackbone(tower(kind), kind)
    tokens, prompt = backbone.embed(images()), torch.randn(2, 3, 32)
    whole = backbone.forward(tokens, {1: prompt})
    kept = backbone.advance(tokens, stop=1)
    assert torch.allclose(
        backbone.forward(kept, {1: prompt}, start=1).pooled, whole.pooled, atol=1e-6
    )


def test_gradients_reach_prompts_and_pixels_but_no_weight(kind):
    backbone = TransformerBackbone(tower(kind), kind)
    prompt, pixels = (
        torch.randn(2, 3, 32, requires_grad=True),
        images(16).requires_grad_(),
    )
    patches = backbone.patch_embed(pixels)
    out = backbone.forward(
        backbone.embed(images()), {0: torch.cat([prompt, patches], dim=1)}
    )
    out.pooled.sum().backward()
    assert prompt.grad.abs().min() > 0 and pixels.grad.abs().min() > 0
    assert all(
        p.grad is None and not p.requires_grad for p in backbone.tower.parameters()
    )


def test_wrong_uses_are_sentences():
    backbone = TransformerBackbone(tower("vit"), "vit")
    with pytest.raises(
        ConfigError, match=r"takes pictures of 32×32 here, but \(48, 48\) came"
    ):
        backbone.embed(images(48))
    with pytest.raises(
        ConfigError,
        match="Pictures of side 30 came for vit; expected a multiple of its patch, 8",
    ):
        TransformerBackbone(tower("vit"), "vit", 30)
    with pytest.raises(
        ConfigError, match="Prompts were to enter block 3, but blocks 0 to 2 are run"
    ):
        backbone.forward(backbone.embed(images()), {3: torch.zeros(2, 1, 32)})
    with pytest.raises(ModelError, match="neither a CLS token nor a pooling head"):
        TransformerBackbone(tower("siglip", vision_use_head=False), "siglip")


def test_a_folder_is_loaded_with_its_own_pixel_statistics(tmp_path):
    tower("vit").save_pretrained(tmp_path)
    hf.ViTImageProcessor(
        image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.6, 0.7]
    ).save_pretrained(tmp_path)
    loaded, unit = (
        load(str(tmp_path), side=48),
        load(str(tmp_path), pixels="unit", dtype=torch.bfloat16),
    )
    by_hand = TransformerBackbone(
        tower("vit"), "vit", 48, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    )
    assert torch.allclose(
        loaded.query(images(48)), by_hand.query(images(48)), atol=1e-5
    )
    assert (
        unit.side == 32
        and unit._std.flatten().tolist() == [1, 1, 1]
        and unit.query(images()).dtype == torch.float32
    )


def test_only_the_vision_side_of_two_towers_is_loaded(tmp_path):
    text = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 20,
    }
    torch.manual_seed(0)
    whole = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=SMALL)).eval()
    whole.save_pretrained(tmp_path)
    loaded = load(str(tmp_path))
    pixels = (images() - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(
        CLIP_STD
    ).view(3, 1, 1)
    assert torch.allclose(
        loaded.query(images()), whole.vision_model(pixels).pooler_output, atol=1e-5
    )
    assert sum(p.numel() for p in loaded.tower.parameters()) < sum(
        p.numel() for p in whole.parameters()
    )


def test_what_is_no_vision_transformer_is_refused(tmp_path):
    hf.BertModel(
        hf.BertConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            vocab_size=9,
        )
    ).save_pretrained(tmp_path / "text")
    with pytest.raises(
        ModelError,
        match="is a 'bert' model; a continual learner needs a vision transformer: clip,",
    ):
        load(str(tmp_path / "text"))
    with pytest.raises(
        ModelError,
        match=(
            "nothing' yields no configuration; expected a Hub id or a folder that transformers"
            " saved"
        ),
    ):
        load(str(tmp_path / "nothing"))
    tower("vit").save_pretrained(tmp_path / "bare")
    with pytest.raises(
        ModelError,
        match=r"has no preprocessor_config\.json, which says how its pixels are normalised",
    ):
        load(str(tmp_path / "bare"))


def test_loading_says_nothing_of_what_is_deprecated() -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    logging.Logger.warning_once.cache_clear()  # transformers says some things once
    try:
        zoo.load_backbone("tiny-vit")
    finally:
        logger.removeHandler(handler)
    assert not [one for one in said if "deprecat" in one]
