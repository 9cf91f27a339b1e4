"""What all commands have in common: help, options, suggestions, and no heavy import for the help."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest

from prime_fast.cli import COMMANDS, cli
from prime_fast.cli.defaults import options_of
from prime_fast.cli.schemas import RESULTS

Run = Callable[..., tuple[int, str, str]]

# What prints a text that is no result: a script, JSON Schemas.
CHOICES = {
    "objective": {"latency_us", "energy_uj", "energy_delay"},
    "combine": {"geometric", "arithmetic", "worst"},
    "budget": {"quick", "standard", "thorough"},
}
DOCUMENTS = {"completion", "schema", "space schema"}


def leaves(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


LEAVES = dict(leaves(cli))


def examples(command: click.Command) -> list[str]:
    """The lines of the help that are command lines, continued ones joined."""
    text = re.sub(r"\\\s*\n\s*", "", inspect.cleandoc(command.help or ""))
    return [line.split("  #")[0].strip() for line in text.splitlines() if line.startswith("prime-fast ")]


def test_there_is_a_command_to_check_of_each_kind() -> None:
    assert len(LEAVES) >= 26
    assert {name.split()[0] for name in LEAVES} == set(COMMANDS)
    assert set(RESULTS) == set(LEAVES) - DOCUMENTS


def test_the_list_of_commands_fits_its_line() -> None:
    for name, text in COMMANDS.items():
        assert text.endswith("."), name
        assert len(text) <= 78 - max(map(len, COMMANDS)) - 4, name


@pytest.mark.parametrize("name", LEAVES)
def test_help_has_an_example_that_parses(name: str) -> None:
    command = LEAVES[name]
    lines = examples(command)
    assert any(line.startswith(f"prime-fast {name}") for line in lines), command.help
    for line in lines:
        words = shlex.split(line.split(" > ")[0])[1:]
        found: click.Command | None = cli
        while isinstance(found, click.Group):
            found = found.get_command(click.Context(cli), words.pop(0))
        assert found is not None, line
        found.make_context(line, words)


@pytest.mark.parametrize("name", ["", *LEAVES])
def test_help_fits_80_columns(run: Run, name: str) -> None:
    code, out, err = run(*name.split(), "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_is_described(name: str) -> None:
    for key, option in options_of(LEAVES[name]).items():
        assert option.help, f"{name} --{key}"
        assert option.help.rstrip().endswith((".", "]")), f"{name} --{key}: {option.help}"
        assert option.envvar == f"prime_fast_{name}_{key}".upper().replace("-", "_").replace(" ", "_")


@pytest.mark.parametrize("name", sorted(set(LEAVES) - DOCUMENTS))
def test_the_same_is_called_the_same(name: str) -> None:
    options = options_of(LEAVES[name])
    assert {"json", "quiet", "verbose"} <= options.keys()
    for key, kind in (("limit", "NAME=VALUE"), ("app", "NAME"), ("space", "SPACE")):
        if key in options:
            assert (options[key].metavar or options[key].type.name) == kind
    for key, unit in (("design", "NAME=VALUE,..."), ("area", "MM2"), ("seconds", "SECONDS")):
        if key in options:
            assert options[key].metavar == unit
    for key, choices in CHOICES.items():
        if key in options and isinstance(each := options[key].type, click.Choice):
            assert set(each.choices) <= choices, key
    for key, words in (("seed", ("seed", "Seed")), ("threads", ("processors", "Threads", "Files"))):
        if key in options:
            assert any(word in str(options[key].help) for word in words), options[key].help
    assert not {"application", "applications", "log", "output", "random-seed", "jobs"} & options.keys()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["optimise"], "Did you mean 'optimize'?"),
        (["logs", "inspct", "x"], "Did you mean 'inspect'?"),
        (["benchmark", "papr"], "Did you mean 'paper'?"),
        (["solve", "--limt", "area_mm2=29"], "Did you mean one of: '--limit'"),
        (["optimize", "--budget", "quik"], "(did you mean quick?)"),
        (["optimize", "--combine", "wrst"], "(did you mean worst?)"),
        (["optimize", "--surrogate", "transfomer"], "(did you mean transformer?)"),
        (["solve", "--app", "M4", "--objective", "enrgy"], "(did you mean energy_uj?)"),
        (["refine", "run", "--designs-format", "parqet"], "(did you mean parquet?)"),
        (["completion", "bsh"], "(did you mean bash?)"),
        (["schema", "logs", "inspct"], "(did you mean logs inspect?)"),
        (["simulate", "--design", "edge-tpu-v9"], "(did you mean edge-tpu-v3?)"),
        (["solve", "--app", "MobilNetV2"], "MobileNetV2"),
    ],
)
def test_mistyped_names_are_suggested(run: Run, args: list[str], told: str) -> None:
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert told in err


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["solve", "--help"], ["benchmark", "--help"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    program = (
        "import sys\nfrom prime_fast.cli import main\n"
        f"try:\n    main({args!r})\nexcept SystemExit as exit_:\n    assert exit_.code == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert "prime-fast" in done.stdout
    loaded = set(done.stderr.split())
    assert "prime_fast.cli" in loaded
    assert not loaded & {"jax", "polars", "numpy", "rich", "matplotlib", "prime_fast._core", "pydoc"}
    if args == ["--help"]:
        modules = {name for name in loaded if name.startswith("prime_fast.cli.")}
        assert modules == {"prime_fast.cli.defaults"}


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["solve", "--app", "M4", "--limit", "area_mm2=29", "--quiet"], 0, ""),
        (["workload", "list", "--quiet"], 0, ""),
        (["solve", "--app", "M4", "--limit", "area_mm2=0.01", "--quiet"], 4, "Error: "),
        (["solve", "--app", "M4", "--limit", "area_mm2=0.01", "--json"], 4, "Error: "),
        (["optimize", "--app", "nothing", "--json"], 2, "Error: "),
        (["logs", "inspect", __file__, "--json"], 3, "Error: "),
    ],
)
def test_nothing_but_results_is_on_stdout(run: Run, args: list[str], code: int, told: str) -> None:
    found, out, err = run(*args)
    assert (found, out) == (code, "")
    assert err.startswith(told)
    assert bool(err) == bool(told)


def test_verbose_tells_options_time_and_more_digits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIME_FAST_SOLVE_LIMIT", "area_mm2=29,latency_us=900")
    code, out, err = run("solve", "--app", "M4", "--verbose")
    assert code == 0
    first, last = err.splitlines()
    assert first == (
        "prime-fast solve --app M4 --limit area_mm2=29.0 --limit latency_us=900.0 "
        "(from PRIME_FAST_SOLVE_LIMIT)"
    )
    assert re.fullmatch(r"\d+\.\d\d s, [\d,]+ MiB at most", last)
    assert "291.873" in out
    assert "291.9 " in run("solve", "--app", "M4")[1]
