"""The report page in a browser: nothing fails, one can listen, and the keyboard suffices.

Needs playwright (``pip install -e ".[browser]"``) and Chromium. Screenshots are written to the
folder $SKTAGGER_SCREENSHOTS, if it is set.
"""

import json
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sktagger import AudioTagger
from sktagger.networks import WALNet
from sktagger.reports import write_report
from sktagger.review import write_review_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
]
sync_api = pytest.importorskip("playwright.sync_api")

RATE = 8000
EVENTS = ["Rain & wind", "Bell <b>", "Dog", "Silence"]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# a user presses the button, but the tests also play by the keyboard right after loading
ARGUMENTS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page of 24 clips with 4 events, of which one occurs in no clip; not all clips fit in."""
    import soundfile

    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    Y = pd.DataFrame((rng.random((24, 4)) < 0.4).astype(int), columns=EVENTS)
    Y.index = [f"clip {i}" for i in range(24)]
    Y["Silence"] = 0
    X = []
    for i in range(24):
        X.append(str(folder / f"clip #{i}.wav"))
        waveform = rng.normal(0, 0.01, 3 * RATE)
        for event in np.flatnonzero(Y.iloc[i]):
            time_ = np.arange(RATE) / RATE
            begin = rng.integers(2 * RATE)
            waveform[begin : begin + RATE] += 0.2 * np.sin(2 * np.pi * 500 * (event + 1) * time_)
        soundfile.write(X[-1], waveform, RATE)
    settings = {"max_epochs": 2, "batch_size": 8, "random_state": 0, "verbose": 0}
    with pytest.warns(match="occur in no clip"):
        tagger = AudioTagger(WALNet(sample_rate=RATE), **settings).fit(X, Y, X_val=X, Y_val=Y)
    scores = tagger.predict_proba(X)
    thresholds = np.append(np.median(scores[:, :3], axis=0), np.inf)
    options = {"n_bootstraps": 50, "max_bytes": 60_000, "verbose": 0}
    options |= {"validation": (Y, scores), "tagger": tagger, "X": X}
    tagger.save(folder / "tagger.sktagger")
    write_report(folder / "report.html", Y, scores, thresholds, **options)
    return folder / "report.html"


@pytest.fixture
def open_page(browser):
    """Open a page; at the end, require that nothing failed and nothing was requested."""
    contexts, problems = [], []

    def open_path(path, item="#error-list .item", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:100]}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(Path(path).as_uri())
        page.wait_for_selector(item)
        return page

    requests = []
    yield open_path
    for context in contexts:
        context.close()
    assert problems == []
    outside = [url[:100] for url in requests if not url.startswith(("file:", "data:"))]
    assert outside == []


def wait_until(holds, timeout=20.0):
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def position(page):
    return page.evaluate("document.getElementById('player').currentTime")


def texts(page, selector):
    return page.locator(selector).all_text_contents()


def screenshot(page, name, **options):
    folder = os.environ.get("SKTAGGER_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), **options)


def test_first_error_plays_and_the_cursor_runs(report, open_page):
    page = open_page(report)
    before = page.locator(".cursor").bounding_box()["x"]
    page.click("#play")
    wait_until(lambda: position(page) > 0.3)
    assert "Pause" in page.text_content("#play")
    assert page.locator(".cursor").bounding_box()["x"] > before
    page.click("#play")
    wait_until(lambda: "Play" in page.text_content("#play"))
    assert page.locator(".timeline img").evaluate("image => image.naturalWidth") > 50
    assert re.search(r"0:0\d\.\d of 0:03\.0", page.text_content(".controls time"))


def test_click_on_the_picture_moves_to_that_time(report, open_page):
    page = open_page(report)
    wait_until(lambda: page.evaluate("document.getElementById('player').readyState") >= 1)
    picture = page.locator(".timeline img")
    picture.click(position={"x": picture.bounding_box()["width"] / 2, "y": 20})
    wait_until(lambda: abs(position(page) - 1.5) < 0.15)


def test_clip_beside_the_page_plays_from_its_file(report, open_page):
    page = open_page(report)
    page.locator("#error-list .item", has=page.locator(".linked")).first.click()
    page.click("#play")
    wait_until(lambda: position(page) > 0.3)
    assert page.get_attribute(".controls a", "href").startswith("clip%20%23")


def test_keyboard_alone_suffices(report, open_page):
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "error-list":
            break
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator("[aria-selected=true]").get_attribute("id") == "error-2"
    selected = page.get_attribute("#error-list", "aria-activedescendant")
    assert selected == "error-2"
    name = page.locator("#error-2 small").text_content().split(" · ")[0]
    assert page.text_content("#error .where").startswith(f"{name} · ")
    page.keyboard.press("k")
    assert page.locator("[aria-selected=true]").get_attribute("id") == "error-1"
    page.keyboard.press("Space")
    wait_until(lambda: position(page) > 0.1)
    page.keyboard.press("Space")
    now = position(page)
    page.keyboard.press("ArrowRight")
    wait_until(lambda: position(page) == pytest.approx(now + 1, abs=0.2))
    page.keyboard.press("ArrowLeft")
    wait_until(lambda: position(page) == pytest.approx(now, abs=0.2))


def test_table_of_events_is_sorted_and_filtered(report, open_page):
    page = open_page(report)
    column = "#event-table tbody td:nth-child(3)"

    def values():
        found = [re.match(r"–|[\d.]+", text)[0] for text in texts(page, column)]
        return [None if text == "–" else float(text) for text in found]

    assert values()[-1] is None  # the event that occurs in no clip
    assert values()[:3] == sorted(values()[:3], reverse=True)
    page.focus("button[data-key=AP]")
    page.keyboard.press("Enter")
    assert values()[:3] == sorted(values()[:3])
    assert values()[-1] is None
    assert page.get_attribute("#event-table th:nth-child(3)", "aria-sort") == "ascending"
    assert page.evaluate("document.activeElement.dataset.key") == "AP"
    page.click("button[data-key=name]")
    assert texts(page, "#event-table button.event") == sorted(EVENTS)
    page.fill("#event-filter", "BELL")
    assert texts(page, "#event-table button.event") == ["Bell <b>"]
    assert page.text_content("#event-count") == "1 of 4 events"


def test_an_event_has_its_curves_and_errors(report, open_page):
    page = open_page(report)
    n_errors = int(page.text_content("#error-count").split()[0])
    assert page.locator("#charts figure").count() == 3
    page.click("#event-table button.event:text-is('Dog')")
    assert page.locator("#charts figure").count() == 4
    assert set(texts(page, ".selected-event")) == {"Dog"}
    of_dog = int(page.text_content("#error-count").split()[0])
    assert 0 < of_dog < n_errors
    items = texts(page, "#error-list .item")
    assert len(items) == of_dog
    assert all(re.match("(found|missed) Dog", item) for item in items)
    row = page.locator("#event-table tr", has_text="Dog")
    fp, fn = (int(row.locator(f"td:nth-child({i})").text_content()) for i in (11, 12))
    assert of_dog == fp + fn
    page.check("input[name=kind][value='1']")
    assert int(page.text_content("#error-count").split()[0]) == fn
    page.check("input[name=kind][value='0']")
    assert int(page.text_content("#error-count").split()[0]) == fp
    page.check("input[name=kind][value='']")
    page.fill("#clip-filter", "no such clip")
    assert "No error fits" in page.text_content("#error")
    page.fill("#clip-filter", "")
    page.click("#errors .all-events")
    assert int(page.text_content("#error-count").split()[0]) == n_errors
    page.click("#event-table button.event:text-is('Silence')")
    assert "curves are undefined" in page.text_content("#charts")


def test_confusions_lead_to_their_errors(report, open_page):
    page = open_page(report)
    button = page.locator("#confusions button.event").first
    name = button.text_content()
    button.click()
    assert set(texts(page, ".selected-event")) == {name}
    assert page.evaluate("document.activeElement.id") == "errors"


CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const light = (color) => { const [r, g, b] = rgb(color).map((x) => x / 255)
    .map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const value = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const found = {};
  for (const front of ["--text", "--soft", "--accent", "--positive", "--negative", "--good"])
    for (const back of ["--back", "--panel", "--bar"]) {
      const [x, y] = [light(value(front)), light(value(back))];
      found[front + " on " + back] = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_enough_contrast(report, open_page, scheme):
    page = open_page(report, color_scheme=scheme)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    contrasts = page.evaluate(CONTRAST)
    assert {pair: value for pair, value in contrasts.items() if value < 4.5} == {}
    screenshot(page, f"overview_{scheme}")
    page.evaluate("document.getElementById('errors').scrollIntoView({ behavior: 'instant' })")
    screenshot(page, f"errors_{scheme}")
    screenshot(page, f"page_{scheme}", full_page=True)


def test_page_fits_a_phone(report, open_page):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = open_page(report, **phone)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    page.tap("#error-list .item:nth-child(2)")
    assert page.locator("[aria-selected=true]").get_attribute("id") == "error-1"
    page.tap("#play")
    wait_until(lambda: position(page) > 0.1)
    screenshot(page, "phone", full_page=True)


def test_large_evaluation_has_a_page_that_opens(tmp_path, open_page):
    rng = np.random.default_rng(0)
    n_clips, events = 20_000, [f"event {k} of many" for k in range(200)]
    labels = rng.random((n_clips, 200)) < 0.01
    index = [f"recording_{i:06d}_of_a_long_night.wav" for i in range(n_clips)]
    Y = pd.DataFrame(labels.astype(int), index, events)
    scores = np.clip(0.5 * labels + rng.normal(0.2, 0.12, labels.shape), 0, 1).astype(np.float32)
    X = np.zeros((n_clips, 800), np.float32)
    X[:] = rng.normal(0, 0.1, 800)
    path = tmp_path / "large.html"
    write_report(path, Y, scores, 0.5, X=X, n_bootstraps=0, verbose=0)
    assert path.stat().st_size < 15_000_000
    page = open_page(path)
    assert page.locator("#error-list .item").count() == 100
    page.focus("#error-list")
    page.keyboard.press("End")
    assert page.locator("[aria-selected=true]").get_attribute("id") == "error-100"
    page.keyboard.press("Home")
    page.click("#play")
    wait_until(lambda: position(page) > 0)


@pytest.fixture(scope="module")
def review_page(report):
    """A page to review three clips of the report, with labels in doubt."""
    folder = report.parent
    X = [str(folder / f"clip #{i}.wav") for i in range(3)]
    tagger = AudioTagger.load(folder / "tagger.sktagger")
    write_review_page(
        folder / "review.html", X, tagger.predict_proba(X), tagger,
        clips=pd.DataFrame({"dataset": "eval", "path": X}, index=["a", "b", "c"]),
        labels=[["Dog"], [], ["Dog", "Bell <b>"]], suspects=[["Dog"], ["Dog"], ["Bell <b>"]],
        reasons=["1st", "2nd", "3rd"], verbose=0,
    )  # fmt: skip
    return folder / "review.html"


def test_corrections_are_saved(review_page, open_page, tmp_path):
    page = open_page(review_page, item="#clip-list .item")
    screenshot(page, "review")
    assert page.is_disabled("#save")
    page.focus("#clip-list")
    page.keyboard.press("1")  # the event in doubt, which is off now
    page.keyboard.press("Enter")
    assert page.locator("[aria-selected=true]").get_attribute("id") == "clip-1"
    page.fill("#clip input[list]", "Owl")
    page.keyboard.press("Enter")
    page.click("#confirm")
    assert "2 of 3 clips are confirmed, not saved yet" in page.text_content("#state")
    with page.expect_download() as download:
        page.click("#save")
    content = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert (content["kind"], content["format"]) == ("sktagger corrections", 1)
    first, second = content["clips"]
    assert (first["id"], first["dataset"], first["events"]) == ("a", "eval", [])
    assert (second["id"], second["events"]) == ("b", ["Owl"])
    assert "not saved" not in page.text_content("#state")
    page.focus("#clip-list")
    page.keyboard.press("Space")
    wait_until(lambda: position(page) > 0.1)
    again = page.locator("#clip-0")
    again.click()
    assert not page.locator("#clip input[type=checkbox]").first.is_checked()
