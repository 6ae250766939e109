"""The page in a real browser: files, what it asks for, what it frees, who may see it."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import IN_A_BROWSER, chromium, playwright
from page_server import (
    LIMITS,
    PATIENCE_S,
    clip_path,
    opened,
    serving,
    stream_of,
    wait_for,
)

from app.page.shelf import Shelf

__all__ = ["playwright"]  # a fixture
pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def served():
    with serving(limits=LIMITS._replace(max_upload_mb=20)) as served:
        yield served


@pytest.fixture(scope="module")
def browser(playwright):
    with chromium(playwright) as browser:
        yield browser


def test_nothing_is_asked_of_the_outside(browser, served):
    asked, errors = [], []
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_S * 1000)
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("console", lambda line: line.type == "error" and errors.append(line.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.url)
    page.locator("sssm-live .sssm-button").wait_for()
    for tab in ("Files", "Model"):
        page.get_by_role("tab", name=tab).click()
    page.locator(".sssm-figure svg").first.wait_for()
    foreign = [url for url in asked if not url.startswith((served.url, "data:", "blob:"))]
    assert foreign == []
    assert errors == []
    context.close()


def test_headings_are_an_outline(browser, served):
    """The page's name, and below it in every tab what it holds: no level is left out."""
    page = opened(browser, served.url)
    page.get_by_role("tab", name="Files").click()
    page.locator("input[type=file]").first.set_input_files(clip_path("up"))
    page.locator("sssm-recording .sssm-lanes").wait_for()
    page.get_by_role("tab", name="Model").click()
    page.get_by_role("heading", name="kws12-s4").wait_for()
    for tab, second in (("Live", "Heard"), ("Files", "up.flac (1.00 s)"), ("Model", "kws12-s4")):
        page.get_by_role("tab", name=tab).click()
        page.get_by_role("heading", name=second, level=2).wait_for()
        of_tag = "headings => headings.map(heading => Number(heading.tagName.slice(1)))"
        levels = page.get_by_role("heading").evaluate_all(of_tag)
        assert levels[:2] == [1, 2]
        assert all(1 < after <= before + 1 for before, after in pairwise(levels))
    page.close()


def test_files_show_their_events(browser, served, tmp_path):
    long = tmp_path / "some words.flac"
    soundfile.write(long, stream_of(["go", "off", "stop"]), 16_000)
    page = opened(browser, served.url)
    page.get_by_role("tab", name="Files").click()
    page.locator("input[type=file]").first.set_input_files([str(long), clip_path("down")])
    page.locator("sssm-recording").nth(1).locator(".sssm-events").wait_for()
    first, second = (page.locator("sssm-recording").nth(n) for n in (0, 1))
    assert first.locator("td strong").all_text_contents() == ["go", "off", "stop"]
    assert first.locator(".sssm-ranked").count() == 0
    assert second.locator("td strong").all_text_contents() == ["down"]
    assert second.locator(".sssm-ranked li span").first.text_content() == "down"
    first.locator(".sssm-play").nth(1).click()
    player = first.locator("audio")
    wait_for(lambda: player.evaluate("audio => audio.readyState > 1 && audio.currentTime > 2.5"))
    first.locator(".sssm-wave").click(position={"x": 120, "y": 40})
    wait_for(lambda: 0 < player.evaluate("audio => audio.currentTime") < 2.5)
    with page.expect_download() as download:
        page.locator(".sssm-download", has_text="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "path,keyword,start_s,time_s,score"
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["some words.flac", "go"], ["some words.flac", "off"], ["some words.flac", "stop"],
        ["down.flac", "down"],
    ]  # fmt: skip
    with page.expect_download() as download:
        page.locator(".sssm-download", has_text="JSON").click()
    assert len(json.loads(download.value.path().read_text())) == 4
    page.close()


def test_files_heard_anew_are_all_shown_anew(browser, served, tmp_path):
    """By another model, and another sensitivity set by the keyboard; the model's tab follows."""
    x = stream_of(["go", "off", "stop"])
    soundfile.write(tmp_path / "words.flac", x, 16_000)
    page = opened(browser, served.url)
    page.get_by_role("tab", name="Files").click()
    page.locator("input[type=file]").first.set_input_files(
        [str(tmp_path / "words.flac"), clip_path("down")]
    )
    shown = page.locator("sssm-recording")
    shown.nth(1).locator(".sssm-events").wait_for()

    def heard():
        """Keyword and time of every row of the two tables."""
        rows = [shown.nth(n).locator("tbody tr").all_inner_texts() for n in (0, 1)]
        return [[tuple(row.split()[1:3]) for row in of_file] for of_file in rows]

    def expected(name, sensitivity):
        spotter = Shelf("s4").spotter(name, sensitivity)
        down, _ = soundfile.read(clip_path("down"), dtype="int16")
        streams = [spotter.stream(16_000).push(samples) for samples in (x, down)]
        return [[(e.keyword, f"{e.start_s:.2f}") for e in events] for events in streams]

    assert heard() == expected("s4", 0.0)
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="mamba").click()
    wait_for(lambda: heard() == expected("mamba", 0.0))
    page.get_by_role("slider", name="Sensitivity").press("End")
    assert expected("mamba", 3.0) != expected("mamba", 0.0)
    wait_for(lambda: heard() == expected("mamba", 3.0))
    page.get_by_role("tab", name="Model").click()
    page.get_by_role("heading", name="kws12-mamba").wait_for()
    page.locator(".sssm-figure svg").first.wait_for()
    page.close()


def test_no_two_times_of_an_axis_are_written_alike(browser, served):
    """Ten seconds in 1,200 pixels have a time every half second."""
    page = browser.new_page()
    page.goto(served.url)
    written = page.evaluate("""async () => {
        const { drawLanes } = await import("/sssm/draw.js");
        const canvas = document.body.appendChild(document.createElement("canvas"));
        canvas.style.width = "1200px";
        const written = [];
        const { fillText } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.fillText = (text) => written.push(text);
        const none = { keywords: [], thresholds: {}, events: [], count: 0, at: () => [] };
        drawLanes(canvas, { ...none, span: { from_s: 56, to_s: 66 } });
        CanvasRenderingContext2D.prototype.fillText = fillText;
        canvas.remove();
        return written;
    }""")
    assert len(written) > 15
    assert len(set(written)) == len(written)
    assert {"59.5 s", "1:00.0", "1:00.5"} <= set(written)
    page.close()


def test_names_of_any_length_stand_beside_their_lanes(browser, served):
    """Whole, and the waveform above them begins where they do; in half of the picture at most."""
    page = browser.new_page()
    page.goto(served.url)
    pictures = """async (keywords) => {
        const { drawLanes, drawWave } = await import("/sssm/draw.js");
        const canvas = document.body.appendChild(document.createElement("canvas"));
        canvas.style.width = "400px";
        const { fillText, fillRect, moveTo } = CanvasRenderingContext2D.prototype;
        const names = [], waves = [], lanes = [];
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y, most) {
            const wide = Math.min(this.measureText(text).width, most ?? Infinity);
            if (keywords.includes(text)) names.push([x - wide, x]);
        };
        CanvasRenderingContext2D.prototype.fillRect = (x) => waves.push(x);
        CanvasRenderingContext2D.prototype.moveTo = (x) => lanes.push(x);
        const thresholds = Object.fromEntries(keywords.map((keyword) => [keyword, 0.5]));
        const span = { from_s: 0, to_s: 1 }, events = [];
        drawLanes(canvas, { keywords, thresholds, span, events, count: 0, at: () => [] });
        const at = () => [0, 1, 0.5, -0.5];
        drawWave(canvas, 96, { keywords, span, events, count: 1, loudest: 1, played_s: 0, at });
        Object.assign(CanvasRenderingContext2D.prototype, { fillText, fillRect, moveTo });
        canvas.remove();
        return [names, waves[0], lanes[0]];
    }"""
    for keywords, left in ((["yes", "no"], 58), (["computer", "turn on the light"], None),
                           (["a phrase that goes on and on, and then on", "no"], 200)):  # fmt: skip
        names, wave, lane = page.evaluate(pictures, keywords)
        assert len(names) == 2
        assert all(start >= 0 for start, _ in names)
        assert {end for _, end in names} == {lane - 8}
        assert wave == lane == (left or lane)
    page.close()


def test_a_long_keyword_is_large_and_whole_on_a_phone(browser, served):
    page = opened(browser, served.url, viewport={"width": 320, "height": 640})
    word = page.locator(".sssm-word")
    page.evaluate("""() => {
        const live = document.querySelector("sssm-live");
        live.show(true);
        live.on_word({ keyword: "refrigerator", score: 0.9, time_s: 1 });
    }""")
    assert word.text_content() == "refrigerator"
    assert word.evaluate("word => word.scrollWidth <= word.clientWidth")
    page.close()


@pytest.mark.parametrize(
    ("seconds", "digits", "said"),
    [(0, 0, "0 s"), (59.94, 1, "59.9 s"), (59.96, 1, "1:00.0"), (119.6, 0, "2:00"),
     (75.5, 1, "1:15.5"), (3605, 0, "60:05")],
)  # fmt: skip
def test_a_minute_has_60_seconds(browser, served, seconds, digits, said):
    page = browser.new_page()
    page.goto(served.url)
    clock = '([s, n]) => import("/sssm/draw.js").then(({ clock }) => clock(s, n))'
    assert page.evaluate(clock, [seconds, digits]) == said
    page.close()


def test_pictures_of_files_follow_the_colours_of_the_page(browser, served):
    page = opened(browser, served.url, color_scheme="light")
    page.get_by_role("tab", name="Files").click()
    page.locator("input[type=file]").first.set_input_files(clip_path("up"))
    lanes = page.locator("sssm-recording .sssm-lanes")
    lanes.wait_for()
    lightest = """canvas => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, 50, canvas.height);
        return Math.max(0, ...data.filter((_, n) => n % 4 === 0 && data[n + 3] > 200));
    }"""
    wait_for(lambda: 0 < lanes.evaluate(lightest) < 100)  # names, as dark as the text of the page
    page.emulate_media(color_scheme="dark")
    wait_for(lambda: lanes.evaluate(lightest) > 200)
    page.close()


def test_files_that_cannot_be_used_say_why_and_the_page_goes_on(browser, served, tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "words.txt").write_text("just words")
    with soundfile.SoundFile(tmp_path / "hours.flac", "w", 8_000, 1) as hours:
        for _ in range(3):
            hours.write(np.zeros(3_600 * 8_000, np.int16))
    with (tmp_path / "huge.wav").open("wb") as huge:
        huge.truncate(100_000_000)
    page = opened(browser, served.url)
    page.get_by_role("tab", name="Files").click()
    chooser = page.locator("input[type=file]").first
    chooser.set_input_files(str(tmp_path / "huge.wav"))
    page.get_by_text("exceed the maximum allowed size of 20").first.wait_for()
    page.locator("#sssm-dropped [data-testid=status-tracker] button").click()
    names = ("empty.wav", "words.txt", "hours.flac")
    page.locator("input[type=file]").first.set_input_files([str(tmp_path / name) for name in names])
    page.locator("sssm-recording").nth(2).wait_for()
    assert page.locator("sssm-recording .sssm-notice").all_text_contents() == [
        "empty file",
        "not audio that can be read: format not recognised",
        "180.0 min long: this page hears 60.0 min of a file; `sssm scan` has no limit",
    ]
    page.locator("#sssm-dropped").get_by_role("button", name="Clear").click()
    page.locator("input[type=file]").first.set_input_files(clip_path("up"))
    page.locator("sssm-recording td strong", has_text="up").wait_for()
    page.close()


def test_a_closed_tab_frees_what_it_held(browser, served):
    page = opened(browser, served.url)
    page.get_by_role("tab", name="Files").click()
    page.locator("input[type=file]").first.set_input_files(clip_path("on"))
    page.locator("sssm-recording td strong", has_text="on").wait_for()
    address = page.locator("sssm-recording audio").get_attribute("src")
    path = Path(address.removeprefix("gradio_api/file="))
    assert path.exists()
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start listening").click()
    page.locator(".sssm-counters", has_text="received").wait_for()
    button = page.locator("sssm-live .sssm-controls").aria_snapshot().splitlines()[0]
    assert button == '- button "■ Stop"'  # what it does; "Stop, pressed" would say that it did
    assert len(served.page.visitors.present) == 1
    page.close()
    wait_for(lambda: not served.page.visitors.present)
    wait_for(lambda: not path.exists())


def test_a_page_without_a_microphone_says_what_to_do(browser, served):
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_S * 1000)
    context.add_init_script("delete Navigator.prototype.mediaDevices")
    page = opened(context, served.url)
    page.locator("sssm-live .sssm-button").press("Enter")
    notice = page.locator(".sssm-notice", has_text="localhost or over HTTPS")
    notice.wait_for()
    colour = "element => getComputedStyle(element).color"
    assert notice.evaluate(colour) != page.locator("sssm-live").evaluate(colour)
    page.locator("sssm-live:not(.sssm-listening)").wait_for()
    context.close()


def test_a_microphone_that_the_browser_pauses_is_told_until_it_goes_on(browser, served):
    page = opened(browser, served.url)
    page.locator("sssm-live .sssm-button").click()
    context = "document.querySelector('sssm-live').ear?.context"
    page.wait_for_function(f"!!{context}?.onstatechange")
    notice = page.locator("sssm-live .sssm-notice")
    page.evaluate(f"{context}.suspend()")
    notice.filter(has_text="paused the microphone").wait_for()
    page.evaluate(f"{context}.resume()")
    notice.filter(has_not_text="paused").wait_for(state="attached")
    page.locator("sssm-live .sssm-button").click()
    page.locator("sssm-live:not(.sssm-listening)").wait_for()
    assert notice.text_content() == ""
    page.close()


def test_credentials_cover_the_page_and_its_websocket(browser, model_file):
    with serving(str(model_file), accounts={"ann": "secret"}) as served:
        context = browser.new_context(http_credentials={"username": "ann", "password": "secret"})
        context.set_default_timeout(PATIENCE_S * 1000)
        page = opened(context, served.url)
        page.locator("sssm-live .sssm-button").click()
        page.locator(".sssm-counters", has_text="received").wait_for()
        context.close()
