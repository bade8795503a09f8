"""The page in headless Chromium at two widths: drop, box, filter, click through, add."""

import base64
import re

import pytest

from tests.report.browser import browser as chromium
from tests.serve.conftest import jpeg

DROP = """([name, kind, data]) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const dropped = new DataTransfer();
  dropped.items.add(new File([bytes], name, { type: kind }));
  const options = { dataTransfer: dropped, bubbles: true, cancelable: true };
  for (const event of ["dragover", "drop"]) {
    document.getElementById("query").dispatchEvent(new DragEvent(event, options));
  }
}"""


@pytest.fixture(scope="module")
def driver():
    """Chromium, driven by Playwright."""
    path = chromium()
    reason = "no browser is driven: playwright is not installed"
    api = pytest.importorskip("playwright.sync_api", reason=reason)
    with api.sync_playwright() as playwright:
        options = {"executable_path": path, "args": ["--no-sandbox"]}
        with playwright.chromium.launch(**options) as launched:
            yield launched


class Page:
    """The page in a window; ``told`` are lines of its console, ``asked`` the addresses it used."""

    def __init__(self, driver, server, width):
        self.told, self.asked = [], []
        self.page = driver.new_page(viewport={"width": width, "height": 900})
        self.page.on("console", lambda line: self.told.append(line.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.set_default_timeout(600_000)  # a busy machine is no fault of the page
        self.page.goto(server.address)
        self.page.wait_for_selector("#about:not(:empty)")

    def drop(self, data, name="a.jpg", kind="image/jpeg"):
        with self.page.expect_response("**/search") as answer:
            self.page.evaluate(DROP, [name, kind, base64.b64encode(data).decode()])
        return self.found(answer)

    def found(self, answer):
        """Ids that an answer holds, once they are shown."""
        (answer.value).finished()
        self.page.wait_for_selector("#found:not(.busy)")
        results = answer.value.json().get("results", [])
        assert self.page.locator("#results li").count() == len(results)
        return [one["id"] for one in results]

    def is_whole(self):
        """All that is shown fits the window, and no picture is broken."""
        self.page.wait_for_load_state("networkidle")
        width = "document.documentElement.clientWidth"
        assert self.page.evaluate(f"document.documentElement.scrollWidth <= {width}")
        shown = "[...document.images].filter((one) => one.offsetParent && one.complete)"
        while not self.page.evaluate(f"{shown}.every((one) => one.naturalWidth > 0)"):
            self.page.wait_for_timeout(50)

    def text(self, selector):
        return self.page.locator(selector).first.inner_text()


@pytest.fixture(params=[1280, 400])
def shown(driver, server, request):
    made = Page(driver, server, request.param)
    yield made
    made.page.close()


def test_a_walk_through_the_page(world, server, shown):
    page = shown.page
    before = len(world.searching.index)
    assert shown.text("#about") == f"{before} images, 512 dimensions, exact search"
    assert page.locator("#drop").is_visible() and page.locator("#others").is_disabled()
    found = shown.drop((world.root / "images/place0/0.jpg").read_bytes())
    assert found[0] == 0 and len(found) == before
    assert shown.text("#results .score") == "1. 1.000"
    assert (
        shown.text("#results .place") == "<b>tower</b>" and not page.locator("#results b").count()
    )
    assert shown.text("#results .badge") == "day" and shown.text("#results .name") == "place0/0.jpg"
    shown.is_whole()

    frame = page.locator("#frame").bounding_box()
    left, top, width, height = (frame[key] for key in ("x", "y", "width", "height"))
    page.mouse.move(left + width / 4, top + height / 4)
    page.mouse.down()
    page.mouse.move(left + 3 * width / 4, top + height / 2, steps=3)
    with page.expect_response("**/search") as answer:
        page.mouse.up()
    assert set(shown.found(answer)) == set(found) and page.locator("#box").is_visible()
    sides = ["left", "top", "width", "height"]
    box = [page.locator("#box").evaluate(f"one => parseFloat(one.style.{side})") for side in sides]
    assert box == pytest.approx([25, 25, 50, 25], abs=1)
    assert shown.text("#results .score") < "1. 0.9999"  # the part alone is another picture

    page.select_option("#condition", "day")
    with page.expect_response("**/search") as answer:
        page.check("#others")
    others = shown.found(answer)
    assert {1, 3, 4} <= set(others) and not {0, 2, 5, 6} & set(others)
    assert "day" not in page.locator("#results .badge").all_inner_texts()
    assert ", by dusk, night only" in shown.text("#message")
    with page.expect_response("**/search") as answer:
        page.click("#unbox")
    assert set(shown.found(answer)) == set(others) and not page.locator("#box").is_visible()

    with page.expect_response("**/search") as answer:
        page.locator("#results button:has(.badge.night)").first.click()
    assert shown.found(answer) and not page.locator("#translations").is_visible()  # it is one
    with page.expect_response("**/search") as answer:
        page.locator("#results button:has(.badge:text('dusk'))").first.click()
    clicked = page.locator("#picture").get_attribute("src")
    number = int(re.fullmatch(r"/image/(\d+)\?size=large", clicked)[1])
    assert number in others and number not in shown.found(answer)
    assert page.locator("#condition").input_value() == "dusk"
    assert not page.locator("#adding").is_visible()
    shown.is_whole()

    with page.expect_response("**/search"):
        page.click("#translations button:has(img[src])")
    assert page.locator("#picture").get_attribute("src").startswith("blob:")
    assert not page.locator("#translations").is_visible()
    for _ in range(3):
        with page.expect_response("**/search") as answer:
            page.click("#back")
    assert shown.found(answer) == others or page.locator("#condition").input_value() == "day"
    assert not page.locator("#back").is_visible()

    new = jpeg(200 + page.viewport_size["width"], (90, 60))
    shown.drop(new)
    page.click("#adding summary")
    page.fill("#add [name=place]", "<script>alert(1)</script>")
    page.fill("#add [name=condition]", "dusk")
    page.fill("#add [name=date]", "2015-06-30")
    page.click("#add button")
    page.wait_for_selector("#message:text('Added as image')")
    assert shown.text("#about").startswith(f"{before + 1} images")
    assert shown.drop(new)[0] == max(found) + 1
    assert shown.text("#results .place") == "<script>alert(1)</script>"
    shown.is_whole()
    assert shown.told == []
    assert all(re.match(rf"blob:|{server.address}/", address) for address in shown.asked)


def test_what_is_refused_is_told(shown):
    shown.drop(b"<svg onload=alert(1)>", "a.svg", "image/svg+xml")
    words = "This is no picture, or of another kind than BMP, GIF, JPEG, PNG, WEBP."
    assert shown.text("#message") == words
    assert shown.page.locator("#results li").count() == 0
    assert "bad" in shown.page.locator("#message").get_attribute("class")
    shown.is_whole()


def test_a_chosen_file_and_one_that_is_gone(world, server, shown):
    path = world.root / "images/place3/6.jpg"
    content = path.read_bytes()
    path.unlink()
    world.searching._shown.found.clear()
    try:
        with shown.page.expect_response("**/search"):
            file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": content}
            shown.page.set_input_files("#file", file)
        gone = shown.page.locator("#results li").first.locator(".thumb")
        gone.get_by_text("its file is gone or cannot be read").wait_for()
    finally:
        path.write_bytes(content)
