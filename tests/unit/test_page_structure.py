"""What pages owe to those who read them on a phone, by keyboard or by ear, as far as it can be told
without a browser.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_views import made_cost, made_search, write_run
from recorded_runs import CHOICE, STREAM, TRANSFER, text_of, transfer_results
from typer.testing import CliRunner

from matboard import report
from matboard.cli import app
from matboard.report import transfer_table_csv, transfer_table_rows, write_report
from matboard.report.html import keep_names_whole
from matboard.report.run_folder import read_folder

EMPTY = {"meta", "img", "input", "br", "path", "use", "i"}


class Page(HTMLParser):
    """A page's tags with what they stand in, headings in order, and cells without words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.scrolls: list[dict[str, str | None]] = []
        self.loose_tables = 0
        self.headings: list[int] = []
        self.links: dict[str, str] = {}
        self.silent_heads = 0
        self._said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            inside = [has.get("class") for _, has in self.open]
            self.loose_tables += "scroll" not in inside and given["class"] != "said"
        if given.get("class") == "scroll":
            self.scrolls.append(given)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "a" and "download" in given:
            self.links[str(given["download"])] = str(given["href"])
        if tag == "th":
            self._said = ""
        if tag not in EMPTY:
            self.open.append((tag, given))

    def handle_data(self, data: str) -> None:
        self._said += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "th":
            self.silent_heads += not self._said
        while self.open and self.open.pop()[0] != tag:
            pass


@pytest.fixture(
    scope="module",
    params=["transfer", "stream", "choice", "unfinished", "search", "cost"],
)
def page(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Page:
    folder = tmp_path_factory.mktemp("pages")
    runs = {"transfer": TRANSFER, "stream": STREAM, "choice": CHOICE}
    run = runs.get(request.param)
    if request.param in ("search", "cost"):
        run = folder / request.param
        write_run(run, made_search() if request.param == "search" else made_cost())
    elif run is None:
        run = Path(shutil.copytree(TRANSFER, folder / "run"))
        (run / "results.json").unlink()
    return Page(write_report(run, folder / "page.html").read_text())


def test_headings_go_down_one_level_at_a_time(page: Page) -> None:
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    for above, below in zip(page.headings, page.headings[1:], strict=False):
        assert below <= above + 1 and below <= 3


def test_every_wide_table_takes_the_keyboard_and_says_what_it_is(page: Page) -> None:
    assert page.loose_tables == 0 and page.silent_heads == 0
    labels = [scroll["aria-label"] for scroll in page.scrolls]
    assert all(labels) and len(set(labels)) == len(labels)
    assert all((one["tabindex"], one["role"]) == ("0", "group") for one in page.scrolls)


def test_what_scrolls_fades_at_its_edge_and_nothing_else_scrolls() -> None:
    rules = (Path(report.__file__).parent / "templates" / "style.css").read_text()
    assert re.findall(r"(\S+) \{[^}]*overflow-x: auto", rules) == [".scroll"]
    edge = re.search(r"\n\.scroll::after \{[^}]*\}", rules)
    assert edge and "var(--edge)" in edge[0] and rules.count("--edge: ") == 2


def test_the_table_and_every_prompt_can_be_saved_from_the_page(tmp_path: Path) -> None:
    links = Page(write_report(TRANSFER, tmp_path / "page.html").read_text()).links
    files = {
        name: base64.b64decode(uri.partition(",")[2]) for name, uri in links.items()
    }
    results = transfer_results()
    assert files.pop("table.csv").decode() == transfer_table_csv(results)
    assert json.loads(files.pop("table.json")) == transfer_table_rows(results)
    assert list(csv.DictReader(io.StringIO(transfer_table_csv(results))))
    for prompt in results.prompts:
        picture = TRANSFER / prompt.folder / "preview.png"
        assert files.pop(f"{Path(prompt.folder).name}.png") == picture.read_bytes()
    assert not files


def test_names_with_a_number_do_not_break_at_their_hyphens() -> None:
    page = (
        "<title>tiny-MiniGPT-4</title><h1>On tiny-MiniGPT-4, judged</h1>"
        '<td title="MiniGPT-4">MiniGPT-4</td><th>CIFAR-10</th><pre>MiniGPT-4</pre>'
        "<svg><text>MiniGPT-4</text></svg><p>a well-known one, −4 to -4</p>"
    )
    whole = '<span class="whole">{}</span>'.format
    assert keep_names_whole(page) == (
        f"<title>tiny-MiniGPT-4</title><h1>On {whole('tiny-MiniGPT-4')}, judged</h1>"
        f'<td title="MiniGPT-4">{whole("MiniGPT-4")}</td><th>{whole("CIFAR-10")}</th>'
        "<pre>MiniGPT-4</pre><svg><text>MiniGPT-4</text></svg>"
        "<p>a well-known one, −4 to -4</p>"
    )


def test_an_unfinished_study_says_how_far_each_fit_is(tmp_path: Path) -> None:
    run = Path(shutil.copytree(TRANSFER, tmp_path / "run"))
    (run / "results.json").unlink()
    (run / "metrics.jsonl").unlink()
    for fit in read_folder(run).fits[:2]:
        (run / fit.folder / "results.json").unlink()
    first, second = read_folder(run).fits[:2]
    log = run / first.folder / "metrics.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    (run / second.folder / "metrics.jsonl").unlink()
    for fit in read_folder(run).fits:
        (run / fit.folder / "config.yaml").write_text("steps: 4\n")
    (run / second.folder / "config.yaml").write_text("epochs: 2\n")
    fits = len(read_folder(run).fits)
    said = (
        f"This run is unfinished: {fits - 2} of {fits} fits are finished,"
        f" {first.name} has logged step 2 of at most 4 and {second.name} has logged step 0."
    )
    told = CliRunner().invoke(app, ["report", str(run)]).stdout
    assert said in told and "goes on where it stopped: matboard fit 'my con" in told
    assert said in text_of((run / "report.html").read_text())
    whole = CliRunner().invoke(app, ["report", str(TRANSFER), "--out", str(run / "a")])
    assert whole.stdout == f"report: {run / 'a'}\n"
