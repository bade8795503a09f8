"""Pages as a browser shows them: headless Chromium, asked what it sees."""

import html
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What scrolls is told by a bar that takes room; what reaches beyond the page or is hidden is cut.
PROBE = """<script>addEventListener("load", () => {
  document.querySelectorAll("details").forEach(fold => { fold.open = true; });
  const images = [...document.images], width = document.documentElement.clientWidth;
  const named = one => `${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 40)}`;
  const clips = one => one && getComputedStyle(one).overflowX !== "visible";
  const scrolled = one => one && (clips(one) || scrolled(one.parentElement));
  const beyond = one => one.getBoundingClientRect().right > width + 1 && !scrolled(one);
  const all = [...document.body.querySelectorAll("*")];
  const wide = all.filter(one => clips(one) && one.scrollWidth > one.clientWidth + 1);
  const found = {
    width, images: images.length,
    broken: images.filter(one => !one.naturalWidth).map(one => one.getAttribute("src")),
    scrolls: wide.map(named),
    cut: [...all.filter(beyond), ...wide.filter(one => one.offsetHeight - one.clientHeight < 5)]
      .map(named),
  };
  document.documentElement.dataset.found = JSON.stringify(found);
});</script>"""


def browser() -> str:
    """The path of Chromium; the test is skipped where none is installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no browser is installed: Debian's is `apt-get install chromium`")
    return found


def look_at(page: Path, width: int) -> dict:
    """What the browser says of a page in a window of ``width`` pixels.

    Returns:
        ``width`` (in pixels, of the page), ``images`` (their number), ``broken`` (sources of
        images), ``cut`` and ``scrolls`` (elements, in words), ``console`` (lines).
    """
    probed = page.with_name(f"probed_{page.name}")
    text = page.read_text(encoding="utf-8").replace(' loading="lazy"', "")
    probed.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options += [f"--user-data-dir={profile}", f"--window-size={width},1200"]
        options += ["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"]
        command = [browser(), *options, probed.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True)
    probed.unlink()
    found = re.search(r'data-found="([^"]*)"', shown.stdout)
    assert found, shown.stderr
    console = [line for line in shown.stderr.splitlines() if ":CONSOLE" in line]
    return {**json.loads(html.unescape(found[1])), "console": console}
