"""Models behind an API: asked, asked again, paid for once, and honest about silence."""

import asyncio
import base64
import io
import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from chat_server import Reply, question, refused, said, serving
from PIL import Image

from matboard import settings
from matboard.errors import (
    ConfigError,
    MissingExtra,
    ModelError,
    Unanswered,
    UnknownName,
)
from matboard.models.capabilities import Ranks
from matboard.models.chat import Limits
from matboard.models.endpoint import RankingEndpoint, load, look_up
from matboard.models.endpoint_name import parts_of
from matboard.prompts.artifact import VisualPrompt
from matboard.prompts.canvas import Canvas
from matboard.tasks.task import Sample, Task
from matboard.transfer.evaluate import evaluate

LATE = Reply(said("x").body, after=20)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("MATBOARD_API_KEY", "OPENAI_API_KEY", "MATBOARD_API_CALLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MATBOARD_API_TOKENS", raising=False)


def picture(seed=0, size=(9, 7)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    return Image.fromarray(pixels)


def pictures(count):
    return [picture(seed) for seed in range(count)]


def echo(body, times):
    return said(f" {question(body)}! ")


def test_a_picture_arrives_pixel_by_pixel_and_answers_come_back_in_order(tmp_path):
    with serving(echo) as server:
        model = load(server.name, kept=tmp_path, concurrency=3)
        asked = [f"q{place}" for place in range(7)]
        answers = model.generate(pictures(7), asked, max_new_tokens=5)
        assert answers == [f"{one}!" for one in asked]
        body = next(body for body, _, _ in server.asked if question(body) == "q3")
    content = body["messages"][0]["content"]
    head, _, data = content[0]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    arrived = Image.open(io.BytesIO(base64.b64decode(data)))
    assert np.array_equal(np.asarray(arrived), np.asarray(picture(3)))
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 5, 0)


def test_tensors_are_sent_as_pictures(tmp_path):
    with serving(echo) as server:
        model = load(server.name, kept=tmp_path)
        model.generate(torch.full((1, 3, 4, 5), 0.5), ["q"])
        url = server.asked[0][0]["messages"][0]["content"][0]["image_url"]["url"]
    arrived = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert arrived.size == (5, 4)
    assert set(arrived.getdata()) == {(128, 128, 128)}


def test_an_answer_is_paid_for_once(tmp_path):
    with serving(echo) as server:
        load(server.name, kept=tmp_path).generate(pictures(2), ["q", "q"])
        assert len(server.asked) == 2
        again = load(server.name, kept=tmp_path)
        assert again.generate(pictures(2), ["q", "q"]) == ["q!", "q!"]
        assert len(server.asked) == 2
        again.generate([picture(1), picture(1), picture(9)], ["q", "r", "q"])
        assert len(server.asked) == 4
        again.generate([picture(5), picture(5)], ["same", "same"])
        assert len(server.asked) == 5


def test_a_damaged_kept_answer_is_asked_for_again(tmp_path):
    with serving(echo) as server:
        load(server.name, kept=tmp_path).generate([picture()], ["q"])
        for file in tmp_path.rglob("*.json"):
            file.write_bytes(file.read_bytes()[:-4])
        assert load(server.name, kept=tmp_path).generate([picture()], ["q"]) == ["q!"]
        assert len(server.asked) == 2


def test_too_many_calls_wait_as_long_as_the_server_says(tmp_path):
    def busy(body, times):
        wait = {"retry-after": "1"}
        return (
            refused(429, "slow down", headers=wait) if times < 1 else echo(body, times)
        )

    with serving(busy) as server:
        model = load(server.name, kept=tmp_path, retries=1)
        assert model.generate([picture()], ["q"]) == ["q!"]
        first, second = (at for _, _, at in server.asked)
    assert second - first >= 1.0  # by itself the client waits half a second


@pytest.mark.parametrize(
    "fault",
    [
        refused(500, "oops"),
        Reply(b"<html>gateway</html>", 503, kind="text/html"),
        Reply(said("x").body, cut=20),
        LATE,
    ],
    ids=["500", "503 in HTML", "cut", "late"],
)
def test_what_may_pass_is_tried_again(tmp_path, fault):
    def at_first(body, times):
        return echo(body, times) if times else fault

    with serving(at_first) as server:
        timeout = 2 if fault is LATE else 60
        model = load(server.name, kept=tmp_path, retries=1, timeout=timeout)
        assert model.generate([picture()], ["q"]) == ["q!"]
        assert len(server.asked) == 2


FAULTS = {
    "500": (refused(500, "it\nburns"), "status 500: it burns"),
    "429": (refused(429, "slow down"), "status 429: slow down"),
    "400": (refused(400, "too large"), "status 400: too large"),
    "other error": (Reply(b'{"detail": "no"}', 422), 'status 422: {"detail": "no"}'),
    "late": (LATE, "no sign of the server within 2 s"),
    "cut": (Reply(said("x").body, cut=20), "the connection failed (peer closed"),
    "nonsense": (Reply(b'{"choices": [{"mess'), "its reply is no chat completion: "),
    "HTML": (Reply(b"<html>", kind="text/html"), "its reply is no chat completion: "),
    "JSON": (Reply(b'{"choices": []}'), "its reply is no chat completion: choices"),
    "overflow": (
        said("x", logprobs={"content": [{"token": "x", "logprob": 1e9}]}),
        "its reply is no chat completion: choices.0.logprobs.content.0.logprob: ",
    ),
    "null": (Reply(b"null"), "its reply is no chat completion"),
    "filter": (said("", "content_filter"), "the server's filter kept the answer back"),
    "length": (said("", "length"), "its tokens were used up before it said anything"),
    "no text": (said(None), "its reply holds no text"),
    "refusal": (
        said(None, message={"content": None, "refusal": "I will not"}),
        "it refused: 'I will not'",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failed_picture_is_told_with_its_reason_and_the_others_are_answered(
    tmp_path, name
):
    fault, reason = FAULTS[name]

    def once(body, times):
        return fault if question(body) == "bad" else echo(body, times)

    with serving(once) as server:
        timeout = 2 if fault is LATE else 60
        model = load(server.name, kept=tmp_path, retries=0, timeout=timeout)
        with pytest.raises(Unanswered, match="did not answer about 1 of 3") as error:
            model.generate(pictures(3), ["a", "bad", "c"])
        assert error.value.given == ["a!", "", "c!"]
        assert list(error.value.reasons) == [1]
        assert error.value.reasons[1].startswith(reason)
        server.script = echo
        again = load(server.name, kept=tmp_path, retries=0)
        if name in ("filter", "length", "no text", "refusal"):  # a reply is paid once
            with pytest.raises(Unanswered):
                again.generate(pictures(3), ["a", "bad", "c"])
            assert len(server.asked) == 3
        else:
            answers = again.generate(pictures(3), ["a", "bad", "c"])
            assert answers == ["a!", "bad!", "c!"]
            assert len(server.asked) == 4


def test_a_server_that_never_ends_is_given_up(tmp_path, monkeypatch):
    def drips(body, times):
        return (
            Reply(said("x").body, drip=0.1) if question(body) == "b" else echo(body, 0)
        )

    monkeypatch.setattr(Limits, "deadline", 3.0)
    with serving(drips) as server:
        model = load(server.name, kept=tmp_path, retries=0)
        with pytest.raises(Unanswered) as silent:
            model.generate(pictures(2), ["a", "b"])
    assert silent.value.given == ["a!", ""]
    assert silent.value.reasons == {1: "its answer did not end within 3 s"}


def test_the_deadline_leaves_time_for_all_tries():
    assert Limits().deadline == 5 * (60 + 120)


def test_it_works_where_a_loop_runs_already(tmp_path):
    async def notebook():
        return load(server.name, kept=tmp_path).generate([picture()], ["q"])

    with serving(echo) as server:
        assert asyncio.run(notebook()) == ["q!"]


def test_a_server_that_dies_midway_does_not_make_a_table_of_silence(tmp_path):
    with serving(echo) as server:
        model = load(server.name, kept=tmp_path, retries=0)
        model.generate([picture()], ["q"])
        server.script = lambda body, times: refused(500, "gone")
        with pytest.raises(Unanswered):
            model.generate(pictures(31), ["r"] * 31)
        with pytest.raises(ModelError, match=r"does not answer at .*status 500: gone"):
            model.generate([picture()], ["last"])


def test_a_model_that_answers_nothing_at_all_is_an_error(tmp_path):
    reply = refused(400, "temperature must be 1")
    with serving(lambda body, times: reply, probed=True) as server:
        model = load(server.name, kept=tmp_path)
        with pytest.raises(ModelError, match="status 400: temperature must be 1"):
            model.generate(pictures(2), ["a", "b"])


@pytest.mark.parametrize(
    "reply",
    [
        refused(401, "no such key"),
        refused(404, "no such model"),
        refused(429, "no money", code="insufficient_quota"),
    ],
    ids=["401", "404", "quota"],
)
def test_what_no_call_would_be_spared_ends_at_once(tmp_path, monkeypatch, reply):
    monkeypatch.setenv("MATBOARD_API_KEY", "secret-key")
    with serving(lambda body, times: reply) as server:
        model = load(server.name, kept=tmp_path, retries=0, concurrency=1)
        with pytest.raises(ModelError, match="MATBOARD_API_KEY") as error:
            model.generate(pictures(50), ["q"] * 50)
        assert not isinstance(error.value, Unanswered)
        assert "secret-key" not in str(error.value)
        assert len(server.asked) < 5


def test_nobody_at_the_address_is_said(tmp_path):
    with serving(echo) as server:
        name = server.name
    with pytest.raises(ModelError, match=r"does not answer at .*the connection failed"):
        load(name, kept=tmp_path, retries=0)
    with pytest.raises(ModelError, match=r"does not answer at .*the connection failed"):
        look_up(name)


def test_calls_are_limited_and_the_next_try_goes_on(tmp_path, monkeypatch):
    with serving(echo) as server:
        load(server.name, kept=tmp_path)  # what it asks about itself is kept
        monkeypatch.setenv("MATBOARD_API_CALLS", "3")
        model = load(server.name, kept=tmp_path, concurrency=4)
        with pytest.raises(ModelError, match=r"3 calls are spent.*MATBOARD_API_CALLS"):
            model.generate(pictures(8), ["q"] * 8)
        assert len(server.asked) == 3
        again = load(server.name, kept=tmp_path, max_calls=5)
        assert again.generate(pictures(8), ["q"] * 8) == ["q!"] * 8
        assert len(server.asked) == 8


def test_retries_are_calls(tmp_path):
    with serving(lambda body, times: refused(500, "oops")) as server:
        load(server.name, kept=tmp_path)
        model = load(server.name, kept=tmp_path, retries=9, max_calls=2)
        with pytest.raises(ModelError, match="2 calls are spent"):
            model.generate([picture()], ["q"])
        assert len(server.asked) == 2


def test_tokens_are_limited(tmp_path):
    with serving(lambda body, times: said("yes", tokens=40)) as server:
        load(server.name, kept=tmp_path)
        model = load(server.name, kept=tmp_path, max_tokens=100, concurrency=1)
        with pytest.raises(ModelError, match=r"120 tokens are spent.*limit is 100"):
            model.generate(pictures(8), ["q"] * 8)
        assert len(server.asked) == 3


def test_a_key_is_sent_to_whom_it_belongs(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "openai-key")
    monkeypatch.setenv("OPENAI_ORG_ID", "my-organisation")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "my-project")
    with serving(echo) as server:
        load(server.name, kept=tmp_path).generate([picture(1)], ["q"])
        monkeypatch.setenv("MATBOARD_API_KEY", "our-key")
        load(server.name, kept=tmp_path).generate([picture(2)], ["q"])
        sent = [json.dumps(headers) for _, headers, _ in server.asked]
    assert "Bearer our-key" in sent[1]
    for headers in sent:
        assert "openai-key" not in headers and "my-" not in headers
    assert settings.api_key(openai=True) == "openai-key"


def test_a_limit_that_is_no_number_is_said(monkeypatch):
    monkeypatch.setenv("MATBOARD_API_CALLS", "many")
    with pytest.raises(ConfigError, match="MATBOARD_API_CALLS is 'many'; expected"):
        settings.api_calls()


def test_names(tmp_path):
    assert parts_of("openai:gpt-x") == ("gpt-x", "https://api.openai.com/v1")
    assert parts_of("openai:a/b@c@http://h:1/v1/") == ("a/b@c", "http://h:1/v1")
    for wrong in (
        "openai:",
        "openai:a b",
        "openai:m@http://h/v1?key=x",
        "openai:m@http://",
        "openai:m@127.0.0.1:8000/v1",
        "openai:m@http://h:99999/v1",
        "openai:m@http://[::1/v1",
    ):
        with pytest.raises(ModelError, match="another form than openai:MODEL@URL"):
            parts_of(wrong)
    with pytest.raises(ModelError, match="holds a user or password") as error:
        parts_of("openai:m@http://me:secret@h/v1")
    assert "secret" not in str(error.value)
    with pytest.raises(ModelError, match="timeout of a model behind an API is 0;"):
        load("openai:m", kept=tmp_path, timeout=0)


def test_a_model_is_looked_up_where_its_server_has_a_list():
    with serving(echo) as server:
        look_up(server.name)
        server.listed = ["n", "o"]
        with pytest.raises(UnknownName, match=r"Unknown model of http.* 'm'.*n, o"):
            look_up(server.name)
        server.listed = None
        look_up(server.name)


def test_a_request_can_hold_more_or_less(tmp_path):
    with serving(echo) as server:
        request = {"temperature": None, "seed": 5}
        model = load(server.name, kept=tmp_path, request=request)
        model.generate([picture()], ["q"])
        body = server.asked[0][0]
    assert body["seed"] == 5 and "temperature" not in body
    assert '"seed": 5' in model.settings


def offering(body, times):
    """A server that gives the likeliest first tokens."""
    if "prompt_logprobs" in body:
        return refused(400, "Unrecognized request argument supplied: prompt_logprobs")
    listed = [(" Yes", -1.0), ("yes", -2.0), ("n", -1.5), ("the", -3.0), (" ", -0.5)]
    if question(body) == "torn":
        listed = [("c", -1.0)]
    if question(body) == "lost":
        listed = [("the", -1.0)]
    if "logprobs" not in body:
        return said("yes")
    tops = [{"token": token, "logprob": value} for token, value in listed]
    first = {"token": "yes", "logprob": -2.0, "top_logprobs": tops}
    return said("yes", logprobs={"content": [first]})


def test_candidates_are_ranked_by_first_tokens_where_that_is_all_there_is(tmp_path):
    with serving(offering, probed=True) as server:
        model = load(server.name, kept=tmp_path)
        assert isinstance(model, RankingEndpoint)
        assert "the first token of each candidate alone" in model.settings
        options = ["yes", "no", "perhaps"]
        scores = model.candidate_log_likelihoods([picture()], ["q"], [options])
        body = server.asked[-1][0]
        assert (body["max_tokens"], body["top_logprobs"]) == (1, 20)
        with pytest.raises(ModelError, match="cannot tell 'cat fish' from 'Cat'"):
            model.candidate_log_likelihoods([picture()], ["q"], [["Cat", "cat fish"]])
        with pytest.raises(Unanswered) as error:
            model.candidate_log_likelihoods(
                pictures(3), ["q", "torn", "lost"], [["cat", "cow", "yes"]] * 3
            )
    wanted = [math.log(math.exp(-1) + math.exp(-2)), -1.5, -math.inf]
    assert scores[0].tolist() == pytest.approx(wanted)
    assert error.value.reasons == {
        1: "'cat' and 'cow' may begin with the same token 'c'",
        2: "no candidate is among the 20 likeliest first tokens",
    }
    assert torch.isnan(error.value.given[1:]).all()
    assert error.value.given[0, 2] == pytest.approx(wanted[0])


def test_a_server_without_log_probabilities_does_not_rank(tmp_path):
    with serving(echo) as server:
        assert not isinstance(load(server.name, kept=tmp_path), Ranks)


def one_task(count):
    def sample(place):
        load_it = partial(picture, place, (40, 40))
        return Sample(f"s{place}", load_it, f"q{place}", "yes", ("yes", "no"))

    return Task("t", (sample(99),), tuple(sample(place) for place in range(count)))


@pytest.mark.parametrize("scorer", ["generation", "ranking"])
def test_a_table_with_failures_counts_them_as_wrong_and_says_so(tmp_path, scorer):
    def flaky(body, times):
        if question(body) in ("q1", "q2"):
            return refused(400, "flagged")
        return offering(body, times)

    prompt = VisualPrompt(Canvas(32, 4), np.zeros((3, 32, 32), np.float32))
    with serving(flaky, probed=True) as server:
        model = load(server.name, kept=tmp_path, retries=0)
        table = evaluate(prompt, model, one_task(12), scorers=(scorer,), batch_size=5)
    cells = table.results().cells
    assert cells
    for cell in cells:
        assert cell.value == pytest.approx(10 / 12)
        assert cell.unanswered == pytest.approx(2 / 12)
    note = table.notes()[0]
    assert "did not answer about 2 of 12 pictures of t (full," in note
    assert "count as wrong; 2 of them: status 400: flagged." in note


def test_without_the_client_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'matboard\[endpoints\]'"):
        load("openai:m", kept=tmp_path)


def test_a_list_of_models_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(Limits, "deadline", 1.0)
    with serving(echo) as server:
        server.dripping = 0.1
        with pytest.raises(ModelError, match="its answer did not end within 1 s"):
            look_up(server.name)
