"""Pages and notebooks of docs/ run as they stand, from the first block to the last, and the site builds."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import polars as pl
import pytest
from onnx_graphs import mobilenet_v2

import prime_fast as pf
from prime_fast import methods, offline, refinement
from prime_fast.cli import cli
from prime_fast.surrogate import TrainingSettings
from tfrecord_writing import write_designs

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
NOTEBOOKS = sorted(path.name for path in DOCS.rglob("*.ipynb"))
# With a test of its own, on a table that lies beside the checkout.
OWN_DATA = "your-own-data.md"
TABLE = ROOT.parent / "shared" / "data" / "kernel_tuner" / "convolution_milo__A100.csv.gz"
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>not run|parsed only): [^\n]+ -->\n)?"
    r'^```(?P<language>\w+)(?: title="(?P<title>.+?)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
SHOWN = {"text", "math"}
# As in test_explain: little time, and the same compiled code.
TINY = TrainingSettings(
    width=32, members=3, steps=150, selection_steps=60, batch=64, alphas=(0.0,), betas=(0.0,), checkpoints=2,
    adversarial_period=10, adversarial_population=16,
)  # fmt: skip

Run = Callable[..., tuple[int, str, str]]


class Block(NamedTuple):
    """A fenced block of a page."""

    mark: str | None
    language: str
    title: str | None
    text: str


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [Block(**fence.groupdict()) for fence in FENCE.finditer(text)]
    # None that the pattern overlooks, such as one that is indented.
    assert 2 * len(found) == text.count("```")
    return found


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def parse(words: list[str]) -> None:
    """Parse a command line as click does, without calling the command."""
    program, *words = words
    assert program == "prime-fast"
    command: click.Command | None = cli
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None
    command.make_context(command.name, words)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks and a search that take little time."""
    monkeypatch.setattr(methods.Method, "settings", lambda *_: TINY)
    monkeypatch.setitem(offline.SEARCH_EVALUATIONS, "quick", 2000)
    # The tutorial asks for reports.
    monkeypatch.setenv("PRIME_FAST_OPTIMIZE_NO_REPORT", "1")
    monkeypatch.setattr(refinement, "EVALUATIONS", 2000)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("page", [page for page in PAGES if page != OWN_DATA])
def test_page_runs(page: str, run: Run, tmp_path: Path) -> None:
    if page == "how-to/own-network.md":
        graph, output = mobilenet_v2()
        graph.save(tmp_path / "model.onnx", output)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.title is not None:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, page, "exec"), namespace)  # noqa: S102 (the point of the test)
        elif block.language == "sh" and block.mark != "not run":
            for words in commands(block):
                parse(words)
                if block.mark is None:
                    code, _, err = run(*words[1:])
                    assert code == 0, (words, err)
        else:
            assert block.language in SHOWN or block.mark == "not run", block


def test_most_of_the_pages_is_run() -> None:
    found = [block for page in PAGES for block in blocks(page) if block.language in ("sh", "python")]
    assert len(found) >= 35
    assert sum(block.mark is not None for block in found) <= 14
    # What is not run is none of our commands, but for its version.
    for block in found:
        if block.mark == "not run":
            for words in commands(block):
                assert words[0] != "prime-fast" or words == ["prime-fast", "--version"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = DOCS / "notebooks" / name
    assert path.stat().st_size < 200_000
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(sources) >= 3
    namespace: dict[str, object] = {"__name__": "__main__"}
    for source in sources:
        exec(compile(source, name, "exec"), namespace)  # noqa: S102


def test_notebooks_were_found() -> None:
    assert len(NOTEBOOKS) == 2


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built strictly: a broken link, anchor, name or directive fails."""
    done = subprocess.run(  # noqa: S603
        [Path(sys.executable).parent / "zensical", "build", "--strict", "--clean"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'python'}{os.pathsep}{DOCS}", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / "target" / "site"


def html(site: Path, page: str) -> str:
    path = site / page.removesuffix(".md").removesuffix("index") / "index.html"
    return path.read_text(encoding="utf-8")


def test_site_has_all_pages_and_needs_no_network(site: Path) -> None:
    for page in PAGES:
        text = html(site, page)
        assert "<!-- generate" not in text
        loaded = re.findall(r'<(?:script|img|iframe)[^>]+src="(.*?)"', text)
        loaded += re.findall(r'<link[^>]+rel="(?:stylesheet|icon|preload)"[^>]+href="(.*?)"', text)
        assert loaded
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], page
    for page in ("method.md", "simulator.md"):
        written = sum(block.language == "math" for block in blocks(page))
        assert written >= 9
        assert html(site, page).count('display="block"') == written


def test_reference_has_every_command_option_and_name(site: Path) -> None:
    text = html(site, "reference/cli.md")
    context = click.Context(cli)
    names = cli.list_commands(context)
    assert len(names) >= 10
    for name in names:
        assert f"prime-fast {name}" in text
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            assert all(option in text for option in parameter.opts if option.startswith("--"))
    text = html(site, "reference/python.md")
    for module in (pf, pf.logs, pf.search, pf.surrogate):
        for name in module.__all__:
            found = getattr(module, name)
            prefix = module.__name__
            assert f'id="{prefix}.{name}"' in text or found.__class__.__name__ == "module", name


def execute(command: list[str], directory: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(  # noqa: S603
        command, cwd=directory, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def own_data(language: str) -> list[str]:
    return [block.text for block in blocks(OWN_DATA) if block.language == language]


@pytest.mark.skipif(not TABLE.exists(), reason="the measured tables are not beside this checkout")
def test_from_a_table_to_proposals_and_on(tmp_path: Path) -> None:
    shutil.copy(TABLE, tmp_path)
    hide, measure = own_data("python")
    constraint, mapping = own_data("toml")
    infer, inspect_space, inspect_log, optimize, refine, _ = own_data("sh")
    (tmp_path / "hide.py").write_text(hide)
    (tmp_path / "measure.py").write_text(measure)
    (tmp_path / "mapping.toml").write_text(mapping)
    execute([sys.executable, "hide.py"], tmp_path)
    shell = ["bash", "-euc"]
    execute([*shell, infer], tmp_path)
    with (tmp_path / "space.toml").open("a") as file:
        file.write("\n" + constraint)
    assert "threads" in execute([*shell, inspect_space], tmp_path)
    assert "verdict: enough to learn from" in execute([*shell, inspect_log], tmp_path)
    # The least work that goes the whole way.
    execute([*shell, optimize.replace("--out run", "--out run --budget quick")], tmp_path)
    execute([*shell, refine], tmp_path)

    hidden = pl.read_csv(TABLE)["time_ms"].median()
    assert isinstance(hidden, float)
    answers = pl.read_parquet(tmp_path / "run" / "refine" / "queries.parquet")
    assert answers.height == 24
    best = answers.filter("feasible")["latency_us"].min()
    assert isinstance(best, float)
    assert best < 1e3 * hidden


def test_the_published_data_set(tmp_path: Path) -> None:
    space = pf.DesignSpace.bundled()
    frame = space.frame(space.sample(500, 0))
    generator = np.random.default_rng(0)
    columns = {alias: frame[name].to_numpy() for name, alias in zip(space.names, space.columns, strict=True)}
    columns |= {
        "runtime": generator.uniform(100.0, 900.0, len(frame)),
        "area": generator.uniform(10.0, 100.0, len(frame)),
        "infeasible": generator.integers(0, 2, len(frame)),
    }
    write_designs(tmp_path / "prime" / "MobilenetV2" / "part.tfrecord", columns)
    (block,) = [block for block in own_data("sh") if "logs convert" in block]
    assert "verdict" in execute(["bash", "-euc", block], tmp_path)
