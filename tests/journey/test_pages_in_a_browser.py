"""Pages as a browser shows them, on a phone and on a desktop, light and dark. Slow, and skipped
without a browser: needs `pip install playwright axe-playwright-python`, and Chromium.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matboard.report import write_report

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
RECORDED = Path(__file__).parents[1] / "recorded"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield opened
        opened.close()


def shown(browser: Any, page: Path, width: int, **options: Any) -> Any:
    size = {"width": width, "height": 900}
    tab = browser.new_context(viewport=size, **options).new_page()
    tab.goto(page.resolve().as_uri())
    return tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("kind", ["transfer", "stream", "choice"])
def test_axe_finds_nothing_and_the_page_does_not_scroll_sideways(
    browser: Any, tmp_path: Path, kind: str, width: int, scheme: str
) -> None:
    page = write_report(RECORDED / kind, tmp_path / "page.html")
    tab = shown(browser, page, width, color_scheme=scheme, bypass_csp=True)
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    tab.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text())
    found = tab.evaluate("axe.run()")["violations"]
    assert [(one["impact"], one["id"]) for one in found] == []


def test_a_table_takes_the_arrow_keys_and_files_can_be_saved(
    browser: Any, tmp_path: Path
) -> None:
    page = write_report(RECORDED / "transfer", tmp_path / "page.html")
    tab = shown(browser, page, 400)
    wide = tab.locator(".scroll").first
    wide.focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("document.querySelector('.scroll').scrollLeft > 0")
    for name in ("table.csv", "table.json", "vp-s0.png"):
        with tab.expect_download() as download:
            tab.click(f"a[download='{name}']")
        assert Path(download.value.path()).stat().st_size > 0
