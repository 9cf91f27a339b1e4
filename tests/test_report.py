"""`prime-fast report`: what a page says of runs of every kind, what it looks like in a browser, bad runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import prime_fast as pf
from prime_fast import methods, offline
from prime_fast.cli import optimize
from prime_fast.logs import generate, write_table
from prime_fast.recording import log_sample
from prime_fast.surrogate import TrainingSettings

Run = Callable[..., tuple[int, str, str]]
LIMIT_BYTES = 6_000_000
TINY = TrainingSettings(
    width=32, members=3, steps=150, selection_steps=60, batch=64, alphas=(0.0,), betas=(0.0,), checkpoints=2,
    adversarial_period=10, adversarial_population=16,
)  # fmt: skip
QUESTIONS = [
    "What to build", "How much better it is", "Whether to believe it", "Why", "How it was found",
    "How to repeat it",
]  # fmt: skip
HOSTILE, HOSTILE_METRIC = "<img src=x onerror=alert(1)>", "</script><script>alert(2)//"
OWN = """
name = "own"
[[parameter]]
name = "units"
values = [1, 2, 4, 8, 16]
[[parameter]]
name = "clock_ghz"
values = [0.5, 1.0, 1.5, 2.0]
[[parameter]]
name = "order"
kind = "categorical"
values = ["<b>rows", "columns", "tiles"]
[[parameter]]
name = "cached"
values = [false, true]
"""


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    """Networks and a search that take little time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods.Method, "settings", lambda *_: TINY)
        patch.setitem(offline.SEARCH_EVALUATIONS, "quick", 4000)
        yield


@pytest.fixture(scope="module")
def trained(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A run that was made by the command, with its report."""
    directory = tmp_path_factory.mktemp("trained")
    write_table(generate(pf.Simulator("MobileNetV2"), 1500, seed=3), directory / "log.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        arguments = ["--app", "MobileNetV2", "--logs", "log.parquet", "--budget", "quick", "--out", "run"]
        optimize.command.main([*arguments, "--quiet"], standalone_mode=False)
    return directory / "run"


@pytest.fixture(scope="module")
def own(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A run without a simulator, whose log has hostile names."""
    directory = tmp_path_factory.mktemp("own")
    space = pf.DesignSpace.from_toml(OWN)
    designs = space.ranks(np.arange(space.size, dtype=np.uint64))
    units, clock = (space.frame(designs)[name].to_numpy() for name in ("units", "clock_ghz"))
    time = 100.0 / (units * clock) + 5.0 * designs[:, 2]
    feasible = (units < 16) & (clock >= 1.0)
    frame = space.frame(designs).with_columns(
        pl.Series("time_ms", np.where(feasible, time, np.nan), nan_to_null=True),
        pl.Series("feasible", feasible),
        pl.Series(HOSTILE_METRIC, 3.0 * units),
        pl.lit(HOSTILE).alias("application"),
    )
    write_table(frame, directory / "log.csv")
    pf.optimize(
        [HOSTILE], logs=directory / "log.csv", space=space, objective="time_ms",
        limits={HOSTILE_METRIC: 40.0}, proposals=4, budget="quick", out=directory / "run",
    )  # fmt: skip
    return directory / "run"


@pytest.fixture(scope="module")
def random_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trained nothing."""
    out = tmp_path_factory.mktemp("random") / "run"
    pf.optimize("U-Net", method="random", budget="quick", out=out)
    return out


class Page(HTMLParser):
    """Headings, ids, charts with their label, and what a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[tuple[int, str]] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.specs: list[Any] = []
        self.fetched: list[str] = []
        self.text: list[str] = []
        self._tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._tags.append((tag, given))
        if "id" in given:
            self.ids.append(str(given["id"]))
        if given.get("role") == "img":
            self.labels.append(str(given["aria-label"]))
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "srcset")]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        while self._tags and self._tags.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, given = self._tags[-1] if self._tags else ("", {})
        if given.get("type") == "application/json":
            self.specs.append(json.loads(data))
        elif tag not in ("script", "style"):
            self.text.append(data)
            if re.fullmatch("h[1-6]", tag):
                level, text = self.headings[-1]
                self.headings[-1] = level, text + data


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def assert_whole(page: Page) -> None:
    """Assert that headings are in order, charts are described, and nothing is fetched."""
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert len(page.ids) == len(set(page.ids))
    assert page.labels
    assert all(len(label) > 20 for label in page.labels)
    assert len(page.specs) >= len(page.labels)
    assert {target for target in page.fetched if not target.startswith("#")} == {"data:,"}
    assert {target[1:] for target in page.fetched if target.startswith("#")} <= set(page.ids)


def axes(spec: Any) -> Iterator[str]:
    """Yield the titles of the axes of a chart."""
    for layer in spec.get("layer", [spec]):
        for channel in ("x", "y"):
            title = layer.get("encoding", {}).get(channel, {}).get("title")
            if title:
                yield title


def test_optimize_writes_a_report_that_answers_all_questions(trained: Path) -> None:
    page = read(trained / "report.html")
    assert_whole(page)
    assert [text for level, text in page.headings if level == 2] == QUESTIONS
    assert (trained / "report.html").stat().st_size < LIMIT_BYTES
    assert {
        "yardsticks", "truth", "feasibility", "uncertainty", "extrapolation", "sensitivity", "importance",
        "trade", "roofline", "components", "training", "search", "pareto", "parallel",
    } <= set(page.ids)  # fmt: skip
    titles = [title for spec in page.specs for title in axes(spec)]
    assert len(titles) > 20
    unitless = [
        title for title in titles if not re.search(r"\(.+\)$|a cycle|MACs a byte|step|scored|tau", title)
    ]
    assert not unitless
    text = " ".join(page.text)
    result = json.loads((trained / "manifest.json").read_text())["result"]
    best = min(row["simulated_latency_us"] for row in result["proposals"] if row["feasible"])
    optimum = pf.solve("MobileNetV2", {"area_mm2": 27.0})
    assert f"{best:.1f} µs" in text
    assert f"{best / optimum.score:.2f}\N{MULTIPLICATION SIGN}" in text
    assert result["out"] is not None
    assert "--app MobileNetV2 --logs log.parquet" in text or "python" in text


def test_no_report_leaves_it_out(run: Run) -> None:
    arguments = ["--app", "U-Net", "--method", "random", "--budget", "quick", "--quiet", "--out", "run"]
    code, _, _ = run("optimize", *arguments, "--no-report")
    assert code in (0, 4)
    assert not Path("run/report.html").exists()


def test_report_draws_every_figure(trained: Path, run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", trained, "--out", "told")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "Report: told/report.html"
    names = {
        name for name in read(Path("told/report.html")).ids if (Path("told/figures") / f"{name}.svg").exists()
    }
    assert len(names) == 14
    assert {path.name for path in Path("told/figures").iterdir()} == {
        f"{name}{suffix}" for name in names for suffix in (".png", ".svg")
    }
    for name in names:
        with Image.open(tmp_path / "told" / "figures" / f"{name}.png") as image:
            assert min(image.size) > 150
            assert len(image.convert("RGB").getcolors(1 << 24) or []) > 5


def test_the_same_run_gives_the_same_page(trained: Path, tmp_path: Path) -> None:
    pages = [pf.write_report(trained, tmp_path / name, figures=False).page.read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


def test_a_run_without_simulator_says_what_is_missing_and_quotes_hostile_names(own: Path) -> None:
    pf.write_report(own, figures=False)
    source = (own / "report.html").read_text()
    page = read(own / "report.html")
    assert_whole(page)
    assert [text for level, text in page.headings if level == 2] == QUESTIONS
    assert (1, HOSTILE) in page.headings
    assert HOSTILE not in source
    assert HOSTILE_METRIC not in source
    assert "<b>rows" not in source
    text = " ".join(page.text)
    assert "The proposals were not simulated" in text
    assert "No optimum is shown" in text
    assert "need the bundled simulator" in text
    # All designs of so small a space are logged, so that the search found no new one.
    assert "There is no search history: the search recorded no improvement." in text
    assert {"truth", "sensitivity", "importance", "training", "pareto", "parallel"} <= set(page.ids)


def test_a_run_without_a_network_says_so(random_run: Path, tmp_path: Path) -> None:
    page = read(pf.write_report(random_run, tmp_path, figures=False).page)
    assert_whole(page)
    text = " ".join(page.text)
    assert "method random trains nothing" in text
    assert "method random searches nothing" in text
    assert {"yardsticks", "pareto", "parallel"} <= set(page.ids)


def test_a_run_made_before_reports_is_told_of_as_far_as_it_goes(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "old")
    for name in ("held_out.parquet", "search.parquet", "log_sample.parquet"):
        (tmp_path / "old" / name).unlink()
    # Its log is where it was, so that a sample can be taken of it.
    page = read(pf.write_report(tmp_path / "old", figures=False).page)
    assert_whole(page)
    text = " ".join(page.text)
    assert "the run has no held_out.parquet" in text
    assert "the run has no search.parquet" in text
    assert "pareto" in page.ids
    assert {"sensitivity", "roofline", "training", "parallel"} <= set(page.ids)


@pytest.mark.parametrize("status", ["interrupted", "failed", "running"])
def test_a_run_that_did_not_end_says_so(trained: Path, tmp_path: Path, run: Run, status: str) -> None:
    (tmp_path / "cut").mkdir()
    manifest = json.loads((trained / "manifest.json").read_text()) | {
        "status": status,
        "error": "out of <luck>",
    }
    del manifest["result"]
    (tmp_path / "cut" / "manifest.json").write_text(json.dumps(manifest))
    lines = (trained / "training.jsonl").read_text()
    (tmp_path / "cut" / "training.jsonl").write_text(lines[: len(lines) // 2])
    code, out, err = run("report", "cut", "--no-figures")
    assert (code, out) == (0, "Report: cut/report.html\n")
    told = {"interrupted": "was interrupted", "failed": "failed: out of <luck>", "running": "was killed"}[
        status
    ]
    assert told in err
    page = read(Path("cut/report.html"))
    assert_whole(page)
    assert told in " ".join(page.text)
    assert [text for level, text in page.headings if level == 2] == QUESTIONS
    assert "There are no proposals: the run has no proposals.parquet." in " ".join(page.text)


def test_several_runs_are_compared(
    trained: Path, own: Path, random_run: Path, run: Run, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "again")
    shutil.copytree(own, tmp_path / "own")
    shutil.copytree(random_run, tmp_path / "random")
    code, _, err = run("report", trained, "again", "--out", "alike", "--no-figures")
    assert (code, err) == (0, "")
    page = read(Path("alike/report.html"))
    assert_whole(page)
    assert {"compared-proposals", "compared-searches", "run-1-truth", "run-2-truth"} <= set(page.ids)
    assert "same inputs, same seed" in " ".join(page.text)
    code, out, _ = run("report", "again", "own", "random", "--out", "unlike", "--no-figures", "--json")
    assert code == 0
    assert json.loads(out) == {
        "schema": "prime-fast/report/1", "page": "unlike/report.html", "figures": [], "warnings": [],
    }  # fmt: skip
    page = read(Path("unlike/report.html"))
    assert_whole(page)
    assert "the runs minimise different figures" in " ".join(page.text)
    assert Path("unlike/report.html").stat().st_size < LIMIT_BYTES


def test_bad_runs_give_one_clear_error(trained: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, text in (("damaged", '{"format": 1, '), ("other", '{"format": 7}'), ("bare", '{"format": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text)
    for arguments, code, told in (
        (["nowhere"], 2, "nowhere: no such directory"),
        (["file"], 2, "file: a file; name the directory of a run"),
        (["empty"], 2, "empty: no manifest.json in it"),
        (["damaged"], 3, "damaged/manifest.json is damaged"),
        (["other"], 3, "its format is 7; this version reads 1"),
        (["bare"], 3, "it lacks `status`"),
        ([trained, trained, "--out", "x"], 2, "the run is named twice"),
        ([trained, "empty"], 2, "needs a directory"),
        ([trained, "--out", "file"], 2, "can't be used as output directory"),
        ([trained, "--threads", "0"], 2, "threads is 0"),
        ([], 2, "Missing argument 'RUN...'"),
    ):
        found = run("report", *arguments)
        assert found[:2] == (code, ""), arguments
        assert told in found[2]
        assert "Traceback" not in found[2]


def test_damaged_files_of_a_run_are_named_in_the_page(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    for name in ("surrogate.safetensors", "held_out.parquet", "proposals.parquet"):
        (copy / name).write_bytes((copy / name).read_bytes()[:100])
    page = read(pf.write_report(copy, figures=False).page)
    assert_whole(page)
    text = " ".join(page.text)
    for name in ("surrogate.safetensors", "held_out.parquet", "proposals.parquet"):
        assert re.search(rf"{name}[^.]* is", text), name


def test_a_sample_of_the_log_keeps_the_best(trained: Path) -> None:
    log = pf.logs.read_log(trained.parent / "log.parquet", pf.DesignSpace.bundled())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prime_fast.recording.MOST_LOGGED", 400)
        sample = log_sample([log, log], ["a", "b"], seed=1)
        assert sample.equals(log_sample([log, log], ["a", "b"], seed=1))
        assert not sample.equals(log_sample([log, log], ["a", "b"], seed=2))
    assert sample["application"].to_list() == ["a"] * 200 + ["b"] * 200
    best = log.frame.filter("feasible").sort("latency_us")["latency_us"][:20]
    assert (
        sample.filter(pl.col("application") == "a")
        .sort("latency_us", nulls_last=True)["latency_us"][:20]
        .to_list()
        == best.to_list()
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, as Debian packages it."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page in the browser, and what went wrong in it."""

    def __init__(self, browser: Any, file: Path, width: int, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = context.new_page()
        self.page.set_default_timeout(120_000)
        self.told: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.told.append(message.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def _dialog(self, dialog: Any) -> None:
        self.told.append(dialog.message)
        dialog.dismiss()

    def assert_sound(self, file: Path) -> None:
        assert self.told == []
        assert self.requests == [file.as_uri()]
        drawn = self.page.locator(".panel > div svg").count()
        assert drawn == self.page.locator(".panel").count() > 0
        # Nothing but a box that scrolls by itself is wider than the screen.
        width = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1]


def picture(opened: Opened, path: Path) -> Any:
    opened.page.screenshot(path=path, full_page=True)
    return np.asarray(Image.open(path).convert("L"), np.float64)


def test_the_page_is_drawn_on_a_screen_a_phone_in_the_dark_and_on_paper(
    browser: Any, trained: Path, tmp_path: Path
) -> None:
    file = trained / "report.html"
    light = Opened(browser, file, 1280)
    light.assert_sound(file)
    assert picture(light, tmp_path / "light.png").mean() > 200
    phone = Opened(browser, file, 390)
    phone.assert_sound(file)
    tall = picture(phone, tmp_path / "phone.png")
    assert tall.shape[1] == 390
    dark = Opened(browser, file, 1280, "dark")
    dark.assert_sound(file)
    assert picture(dark, tmp_path / "dark.png").mean() < 60
    # Text in charts follows the page's colours, and on paper it is dark on white again.
    colour = "getComputedStyle(document.querySelector('.panel svg text')).fill"
    assert dark.page.evaluate(colour) == "rgb(230, 234, 238)"
    dark.page.emulate_media(media="print")
    assert dark.page.evaluate(colour) == "rgb(28, 33, 39)"
    assert len(dark.page.pdf(format="A4")) > 20_000


def test_tables_sort_and_marks_tell_what_they_are(browser: Any, trained: Path) -> None:
    opened = Opened(browser, trained / "report.html", 1280)
    page = opened.page
    heading = page.locator("#build th", has_text="predicted latency")
    column = heading.evaluate("cell => cell.cellIndex")
    texts = f"[...document.querySelectorAll('#build tbody tr')].map(row => row.cells[{column}].textContent)"
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    values = [float(text.replace(",", "")) for text in page.evaluate(texts)]
    assert values == sorted(values)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(text.replace(",", "")) for text in page.evaluate(texts)] == sorted(values, reverse=True)
    page.locator("#pareto .mark-symbol.role-mark path").last.scroll_into_view_if_needed()
    page.locator("#pareto .mark-symbol.role-mark path").last.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    assert "latency" in tooltip.inner_text()
    assert opened.told == []


def test_hostile_names_are_text_in_the_browser(browser: Any, own: Path, tmp_path: Path) -> None:
    file = pf.write_report(own, tmp_path, figures=False).page
    opened = Opened(browser, file, 1280)
    opened.assert_sound(file)
    assert opened.page.locator("h1").inner_text() == HOSTILE
    assert opened.page.locator("img").count() == 0
    opened.page.locator("#parallel .mark-symbol.role-mark path").last.hover(force=True)
    tooltip = opened.page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    assert opened.told == []


def test_folded_runs_are_drawn_when_opened(
    browser: Any, trained: Path, random_run: Path, tmp_path: Path
) -> None:
    file = pf.write_report([trained, random_run], tmp_path, figures=False).page
    opened = Opened(browser, file, 1280)
    assert opened.page.locator("#run-1-run .panel svg").count() == 0
    opened.page.locator("#run-1-run > summary").click()
    panels = "document.querySelectorAll('#run-1-run .panel')"
    opened.page.wait_for_function(f"[...{panels}].every(panel => panel.querySelector('svg'))")
    assert opened.told == []
