"""A processor with a prompt does what `apply` and then the processor do."""

from __future__ import annotations

import base64
import copy
import io
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import matboard
from matboard.errors import ImageError, ModelError, PromptError
from matboard.prompts.canvas import Canvas
from matboard.zoo import resolve

CANVAS = Canvas(60, 10)
CHAT = (
    "{% for message in messages %}{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
)
"""Blip2Processor writes the image tokens itself."""


@pytest.fixture(scope="module")
def prompt():
    blank = np.zeros((3, 60, 60), dtype=np.float32)
    return matboard.VisualPrompt(CANVAS, blank).noise(seed=0)


@pytest.fixture(scope="module")
def folder():
    return str(resolve("tiny-minigpt4"))


@pytest.fixture
def processor(folder):
    return transformers.AutoProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def model(folder):
    return transformers.AutoModelForImageTextToText.from_pretrained(folder)


def picture(seed: int = 0, size: tuple[int, int] = (90, 70)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(other[name])), name


def test_pictures_are_prompted_once_and_then_processed(prompt, processor):
    view = prompt.attach(processor)
    options = {"text": ["what?", "who?"], "return_tensors": "pt", "padding": True}
    pictures = [picture(0), picture(1)]
    shown = [prompt.apply(one) for one in pictures]
    ours = view(images=pictures, **options)
    same(ours, processor(images=shown, **options))
    untouched = processor(images=pictures, **options)["pixel_values"]
    assert not torch.equal(ours["pixel_values"], untouched)
    same(view(pictures, options["text"], return_tensors="pt", padding=True), ours)
    same(view(text=["what?"]), processor(text=["what?"]))


def test_a_pipeline_answers_as_for_prompted_pictures(prompt, processor, model):
    ask = partial(transformers.pipeline, "image-text-to-text", model=model)
    ours, plain = ask(processor=prompt.attach(processor)), ask(processor=processor)
    samples = matboard.load_task("scenes-recognition", train=6, test=6).test
    pictures = [sample.load() for sample in samples]
    questions = [sample.question for sample in samples]
    shown = [prompt.apply(one) for one in pictures]
    said = ours(images=pictures, text=questions, max_new_tokens=4)
    assert said == plain(images=shown, text=questions, max_new_tokens=4)
    assert said != plain(images=pictures, text=questions, max_new_tokens=4)


def test_pipelines_that_take_the_image_processor_alone_are_prompted_too(prompt):
    folder = str(resolve("tiny-guide"))
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder)
    eye = prompt.attach(processor.image_processor)
    names = ["a red ring", "a blue star", "a green cross"]
    ask = partial(
        transformers.pipeline,
        "zero-shot-image-classification",
        model=model,
        tokenizer=processor.tokenizer,
    )
    plain = ask(image_processor=processor.image_processor)
    wanted = plain(prompt.apply(picture()), candidate_labels=names)
    assert ask(image_processor=eye)(picture(), candidate_labels=names) == wanted
    inside = ask(image_processor=prompt.attach(processor).image_processor)
    assert inside(picture(), candidate_labels=names) == wanted
    assert plain(picture(), candidate_labels=names) != wanted


@pytest.fixture
def address(tmp_path):
    """A server of the folder's files."""
    handler = partial(Quiet, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_chats_with_pictures_files_addresses_and_base64(
    prompt, processor, tmp_path, address
):
    picture().save(tmp_path / "a.png")
    content = io.BytesIO()
    picture().save(content, "PNG")
    encoded = base64.b64encode(content.getvalue()).decode()
    forms = [
        {"image": picture()},
        {"path": str(tmp_path / "a.png")},
        {"url": f"{address}/a.png"},
        {"base64": encoded},
    ]
    options = {
        "chat_template": CHAT,
        "tokenize": True,
        "return_dict": True,
        "return_tensors": "pt",
    }
    shown = [prompt.apply(picture())]
    wanted = processor(images=shown, text=["what?"], return_tensors="pt")
    view = prompt.attach(processor)
    chats = [chat(form) for form in forms]
    for one in chats:
        same(view.apply_chat_template(one, **options), wanted)
    batch = view.apply_chat_template(chats, **options)["pixel_values"]
    assert torch.equal(batch, wanted["pixel_values"].expand(4, -1, -1, -1))


def chat(form):
    content = [{"type": "image", **form}, {"type": "text", "text": "what?"}]
    return [{"role": "user", "content": content}]


def test_every_form_of_pixels_comes_back_in_its_form(prompt, processor):
    rows = np.asarray(picture())
    levels = np.asarray(prompt.apply(picture()))
    floats = rows.astype(np.float32)
    forms = [
        (rows, levels),
        (rows.transpose(2, 0, 1), levels.transpose(2, 0, 1)),
        (floats, levels.astype(np.float32)),
        (floats.transpose(2, 0, 1) / 255, levels.transpose(2, 0, 1) / 255),
        (np.stack([rows, rows]), np.stack([levels, levels])),
        (torch.tensor(rows).permute(2, 0, 1), torch.tensor(levels).permute(2, 0, 1)),
        (torch.tensor(floats / 255).half(), torch.tensor(levels / 255).half()),
    ]
    seen = []
    eye = processor.image_processor
    eye.preprocess = lambda images, **_: seen.append(images)
    view = prompt.attach(eye)
    for given, wanted in forms:
        view([given])
        (shown,) = seen.pop()
        assert type(shown) is type(given)
        assert shown.dtype == given.dtype
        tolerance = 1e-3 if shown.dtype == torch.float16 else 1e-6
        assert np.allclose(np.asarray(shown), np.asarray(wanted), atol=tolerance)
    view([[picture(), picture()], (picture(),)])
    assert seen == [[[prompt.apply(picture())] * 2, [prompt.apply(picture())]]]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((5, 5), np.uint8), "three channels"),
        (np.full((3, 9, 9), -0.5), "from -0.5 to -0.5 .* before they are normalised"),
        (np.full((3, 9, 9), np.nan), "before they are normalised"),
        (np.full((3, 9, 9), True), "of bool"),
        (torch.zeros(3, 9, 9, requires_grad=True), "wants a gradient"),
    ],
)
def test_what_is_no_picture_is_said(prompt, processor, given, sentence):
    with pytest.raises(ImageError, match=sentence):
        prompt.attach(processor)(images=[given], text=["what?"])


def test_the_prompt_can_be_let_out(prompt, processor):
    view = prompt.attach(processor)
    eye = view.image_processor
    plain = processor.image_processor(picture())["pixel_values"]
    with pytest.raises(RuntimeError), view.disabled():
        with view.disabled(), eye.disabled():
            assert np.array_equal(eye(picture())["pixel_values"], plain)
        assert np.array_equal(view(picture())["pixel_values"], plain)
        raise RuntimeError
    assert not np.array_equal(view(picture())["pixel_values"], plain)
    assert not np.array_equal(eye.preprocess(picture())["pixel_values"], plain)


def test_it_is_a_view_of_the_processor(prompt, processor):
    before = processor.to_dict()
    view = prompt.attach(processor)
    assert isinstance(view, transformers.Blip2Processor)
    assert isinstance(view.image_processor, type(processor.image_processor))
    assert view.image_processor is view.image_processor
    assert view.tokenizer is processor.tokenizer
    assert view.to_dict() == processor.to_dict() == before
    assert view.original is processor and view.visual_prompt is prompt
    assert repr(view) == "Blip2Processor with VisualPrompt(border 10 of 60, clamped)"
    view.chat_template = CHAT
    view.num_query_tokens = 3
    assert (processor.chat_template, processor.num_query_tokens) == (CHAT, 3)
    ids = view(images=picture(), text="what?")["input_ids"]
    assert len(ids[0]) == len(processor(text="what?")["input_ids"][0]) + 3
    other = copy.deepcopy(processor.image_processor)
    view.image_processor = other
    assert processor.image_processor is other
    assert view.image_processor.original is other


def test_it_is_saved_as_the_processor_with_the_prompt_beside_it(
    prompt, processor, tmp_path
):
    view = prompt.attach(processor)
    view.save_pretrained(tmp_path)
    again = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is type(processor)
    assert again.to_dict() == processor.to_dict()
    loaded = matboard.load_prompt(tmp_path / "visual_prompt")
    assert loaded.fingerprint == prompt.fingerprint
    same(loaded.attach(again)(picture(), "what?"), view(picture(), "what?"))
    assert type(type(view).from_pretrained(tmp_path)) is type(processor)
    with pytest.raises(PromptError, match="push the two apart"):
        view.save_pretrained(tmp_path, push_to_hub=True)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda view: pickle.loads(pickle.dumps(view))]
)
def test_it_can_be_copied_and_sent_to_another_process(prompt, processor, copied):
    view = prompt.attach(processor)
    same(copied(view)(picture(), "what?"), view(picture(), "what?"))


class Films(transformers.ProcessorMixin):
    """Takes pictures and films."""

    def __init__(self, image_processor):
        super().__init__(image_processor)

    def __call__(self, text=None, images=None, videos=None):
        return {"images": images, "videos": videos}


def test_videos_pass_untouched(prompt, processor):
    view = prompt.attach(Films(processor.image_processor))
    film = [picture(), picture(1)]
    out = view("what?", [picture()], videos=film)
    assert out == {"images": [prompt.apply(picture())], "videos": film}


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda p: p.tokenizer, "expected a transformers processor or image processor"),
        (lambda p: "tiny-minigpt4", "A value of type str came"),
        (lambda p: Films(p.image_processor), "has no image processor"),
    ],
)
def test_what_takes_no_pictures_is_refused(prompt, processor, other, sentence):
    came = other(processor)
    if isinstance(came, Films):
        came.image_processor = None
    with pytest.raises(ModelError, match=sentence):
        prompt.attach(came)


def test_a_second_prompt_is_refused(prompt, processor):
    view = prompt.attach(processor)
    for carried in (view, view.image_processor):
        with pytest.raises(ModelError, match="carries a prompt already"):
            prompt.attach(carried)
