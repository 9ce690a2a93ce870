"""``matboard serve-model``: driven by OpenAI's own client, by ``matboard evaluate`` and ``select``,
and through ``matboard proxy``.
"""

import json
import socket

import numpy as np
import openai
import pytest
from PIL import Image
from running import running
from typer.testing import CliRunner

from matboard.cli import app
from matboard.images import to_data_url
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.results import read
from matboard.tasks import load_task
from matboard.zoo import load_model

MODEL = "tiny-minigpt4"
TASK = "scenes-recognition/noise"
CONTINUED = {"continue_final_message": True, "add_generation_prompt": False}


@pytest.fixture(scope="module")
def server():
    """A served model's name, as the command prints it."""
    with running("-m", "matboard", "serve-model", MODEL, "--port", "0") as served:
        yield served.address
        assert served.interrupted()[0] == 0


@pytest.fixture(scope="module")
def client(server):
    url = server.partition("@")[2]
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def model():
    return load_model(MODEL)


@pytest.fixture(scope="module")
def samples():
    return load_task(TASK, train=1, test=4).test


def told(question, url):
    content = [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return [{"role": "user", "content": content}]


def asked(sample, *more, picture=None):
    url = picture or to_data_url(sample.load())
    return [*told(sample.question, url), *more]


def test_it_lists_its_model(client):
    assert [one.id for one in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "matboard"


def test_answers_are_the_models_own_whole_and_streamed(client, model, samples):
    for sample in samples[:2]:
        own = model.generate([sample.load()], [sample.question])
        options = {"model": MODEL, "messages": asked(sample), "max_tokens": 16}
        whole = client.chat.completions.create(**options)
        assert [whole.choices[0].message.content] == own
        assert whole.choices[0].finish_reason == "stop"
        stream = client.chat.completions.create(
            **options, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        said = [one.choices[0] for one in chunks if one.choices]
        assert "".join(one.delta.content for one in said) == own[0]
        assert [one.finish_reason for one in said if one.finish_reason] == ["stop"]
        assert chunks[-1].usage == whole.usage


def test_a_long_answer_is_cut_where_the_client_says(client, samples):
    cut = client.chat.completions.create(
        model=MODEL, messages=asked(samples[0]), max_completion_tokens=1
    )
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 1


def test_log_probabilities_are_the_models_own(client, model, samples):
    sample = samples[0]
    reply = client.chat.completions.create(
        model=MODEL, messages=asked(sample), logprobs=True, top_logprobs=20
    )
    first = reply.choices[0].logprobs.content[0]
    told = {one.token: one.logprob for one in first.top_logprobs}
    assert len(told) == 20 and max(told, key=told.get) == first.token
    own = model.candidate_log_likelihoods(
        [sample.load()], [sample.question], [sample.candidates]
    )[0]
    scores = dict(zip(sample.candidates, own.tolist(), strict=True))
    shared = told.keys() & scores.keys()
    assert max(scores, key=scores.get) in shared
    for name in shared:
        assert told[name] == pytest.approx(scores[name], abs=1e-4)


def test_a_given_answer_is_scored(client, model, samples):
    sample = samples[0]
    answer = "a red circle"
    given = {"role": "assistant", "content": answer}
    reply = client.chat.completions.create(
        model=MODEL,
        messages=asked(sample, given),
        max_tokens=1,
        extra_body={"prompt_logprobs": 0, **CONTINUED},
    )
    told = [one for one in reply.model_extra["prompt_logprobs"] if one]
    tokens = [next(iter(one.values())) for one in told]
    assert [one["decoded_token"] for one in tokens] == answer.split()
    own = model.answer([sample.load()], [sample.question], [answer])
    total = sum(one["logprob"] for one in tokens)
    assert total == pytest.approx(-own.negative_log_likelihood.item(), abs=1e-3)


def _refusal(client, messages, **more):
    with pytest.raises(openai.APIStatusError) as error:
        client.chat.completions.create(**{"model": MODEL, "messages": messages, **more})
    return error.value.status_code, str(error.value.body["message"])


def test_what_it_does_not_do_is_said_in_openais_shape(client, samples):
    sample = samples[0]
    one = asked(sample)
    text = [{"role": "user", "content": "and without a picture?"}]
    remote = asked(sample, picture="http://169.254.169.254/latest/meta-data")
    broken = asked(sample, picture="data:image/png;base64,AAAA")
    crooked = asked(sample, picture="data:image/png;base64,?")
    huge = asked(sample, picture=to_data_url(Image.new("1", (5000, 5000))))
    assert _refusal(client, one, model="other")[0] == 404
    for messages, more, status, sentence in [
        (
            text,
            {},
            400,
            "expected one message of role user with a text and one image_url",
        ),
        ([*one, *one], {}, 400, "This server has no memory of a conversation"),
        (remote, {}, 400, "this server fetches nothing"),
        (broken, {}, 400, "is not a picture; expected one of PNG"),
        (crooked, {}, 400, "The picture's data URL is not base64"),
        (huge, {}, 400, "has 5000×5000 pixels; at most 16777216 are allowed"),
        (one, {"n": 2}, 400, "n: Input should be 1"),
        (one, {"stop": "a"}, 400, "stop is not supported by this server; leave it out"),
        (
            one,
            {"max_tokens": 0},
            400,
            "max_tokens: Input should be greater than or equal",
        ),
        (one, {"extra_body": {"prompt_logprobs": 0}}, 400, "of a given answer only"),
        (one, {"extra_body": {"x": "y" * 2**25}}, 413, "more than 33554432 bytes"),
    ]:
        found, said = _refusal(client, messages, **more)
        assert (found, sentence in said) == (status, True), said


def test_raw_nonsense_is_answered_in_openais_shape(server):
    url = server.partition("@http://")[2]
    host, _, rest = url.partition(":")
    port = int(rest.partition("/")[0])
    for request in (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{[}",
        b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n",
        b"DELETE /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        with socket.create_connection((host, port), timeout=20) as wire:
            wire.sendall(request.replace(b"Host: x", b"Host: x\r\nConnection: close"))
            reply = b"".join(iter(lambda wire=wire: wire.recv(65536), b""))
        error = json.loads(reply.partition(b"\r\n\r\n")[2])["error"]
        assert error["type"] == "invalid_request_error"
        assert set(error) == {"message", "type", "param", "code"}


@pytest.fixture
def prompt(tmp_path):
    """A prompt, and where it lies."""
    canvas = Canvas(64, 8)
    drawn = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
    made = VisualPrompt(canvas, drawn * canvas.mask())
    made.save_pretrained(tmp_path / "drawn")
    return made, tmp_path / "drawn"


def test_a_tool_behind_the_proxy_gets_the_answers_to_prompted_pictures(
    server, client, samples, prompt, monkeypatch
):
    made, folder = prompt
    upstream = server.partition("@")[2]
    words = ("proxy", "--prompt", folder, "--upstream", upstream, "--port", 0)
    with running("-m", "matboard", *words) as proxy:
        monkeypatch.setenv("OPENAI_BASE_URL", proxy.address)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        tool = openai.OpenAI(max_retries=0)
        assert [one.id for one in tool.models.list()] == [MODEL]
        for sample in samples:
            ask = {"model": MODEL, "messages": asked(sample), "logprobs": True}
            seen = asked(sample, picture=to_data_url(made.apply(sample.load())))
            own = client.chat.completions.create(**{**ask, "messages": seen})
            assert tool.chat.completions.create(**ask).choices == own.choices
            stream = tool.chat.completions.create(**ask, stream=True)
            text = "".join(one.choices[0].delta.content for one in stream)
            assert text == own.choices[0].message.content
        with pytest.raises(openai.NotFoundError, match="does not exist here"):
            tool.chat.completions.create(**{**ask, "model": "other"})
        assert "sk-secret" not in proxy.interrupted()[1]


def test_evaluate_finds_the_same_behind_the_api_as_in_the_model(
    server, prompt, tmp_path, monkeypatch
):
    monkeypatch.setenv("MATBOARD_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    words = ["evaluate", str(prompt[1]), "--models", f"{MODEL},{server}"]
    words += ["--tasks", TASK, "--test", "2", "--scorers", "ranking,generation"]
    done = CliRunner().invoke(app, [*words, "--out", str(out)])
    assert done.exit_code == 0, done.output
    results = read(out)
    cells = {(c.model, c.condition, c.scorer): c for c in results.cells}
    for (name, condition, scorer), cell in cells.items():
        assert cell.unanswered is None
        assert cell.value == cells[MODEL, condition, scorer].value, (name, condition)
    assert len(cells) == 16
    texts: dict = {}
    for file in sorted((out / "scores").iterdir()):
        with np.load(file) as kept:
            kind = "texts" if len(kept["texts"]) else "scores"
            texts.setdefault(kind, []).append(kept[kind])
    written = sorted(" ".join(one) for one in texts["texts"])
    assert written[::2] == written[1::2]
    scores = sorted(texts["scores"], key=lambda one: one[0].tolist())
    for ours, theirs in zip(scores[::2], scores[1::2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def decided(folder):
    """What a choice came to."""
    apart = {"model", "task", "scorer", "seconds", "made_from"}
    return read(folder).model_dump(exclude=apart)


def test_select_decides_the_same_by_endpoint_by_model_and_by_what_was_stored(
    server, client, prompt, tmp_path, monkeypatch
):
    monkeypatch.setenv("MATBOARD_CACHE", str(tmp_path / "cache"))
    asking = ["select", str(prompt[1]), "--task", TASK, "--pictures", "12"]
    for name, model in (("closed", server), ("open", MODEL)):
        words = ["--model", model, "--scorer", "generation"]
        out = ["--out", str(tmp_path / name)]
        done = CliRunner().invoke(app, [*asking, *words, *out])
        assert done.exit_code == 0, done.output
    pictures = tmp_path / "pictures"
    done = CliRunner().invoke(app, [*asking, "--pictures-out", str(pictures)])
    assert done.exit_code == 0, done.output
    lines = []
    for line in (pictures / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        with Image.open(pictures / row["picture"]) as picture:
            url = to_data_url(picture)
        reply = client.chat.completions.create(
            model=MODEL, messages=told(row["question"], url)
        )
        said = reply.choices[0].message.content
        lines.append(json.dumps({**row, "answer": said}) + "\n")
    (tmp_path / "said.jsonl").write_text("".join(lines))
    words = ["--predictions", str(tmp_path / "said.jsonl"), "--out"]
    done = CliRunner().invoke(app, [*asking, *words, str(tmp_path / "stored")])
    assert done.exit_code == 0, done.output
    closed = decided(tmp_path / "closed")
    assert closed["calls"] > 12 and len(closed["candidates"]) == 2
    assert decided(tmp_path / "open") == closed == decided(tmp_path / "stored")


def test_a_taken_port_is_said(server):
    port = server.rpartition(":")[2].partition("/")[0]
    done = CliRunner().invoke(app, ["serve-model", MODEL, "--port", port])
    assert done.exit_code != 0
    assert "Nothing can be served at 127.0.0.1, port" in str(done.exception)


def test_what_cannot_answer_is_not_served():
    done = CliRunner().invoke(app, ["serve-model", "tiny-guide", "--port", "0"])
    assert "tiny-guide (DualEncoder) cannot generate answers" in str(done.exception)
