"""The parts of the site's pages that are made from the code and its data at build time, one function each."""

from __future__ import annotations

import html
import importlib
import inspect
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

ROOT = Path(__file__).parents[1]
CORE_DATA = ROOT / "rust" / "core" / "data"
SOURCES = {"C": "CACTI 7, Aladdin", "E": "Edge TPU template", "P": "fitted to PRIME's data set"}


def table(*rows: Iterable[object]) -> str:
    """Return a Markdown table; the first row is its head."""
    # A bar within code ends no cell, and would show its backslash.
    texts = ([str(cell) for cell in row] for row in rows)
    head, *body = [[one if one.startswith("`") else one.replace("|", "\\|") for one in row] for row in texts]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])


def result(name: str) -> str:
    """Return a table that `prime-fast benchmark` wrote: bench/results/NAME.md, its title in bold."""
    text = (ROOT / "bench" / "results" / f"{name}.md").read_text(encoding="utf-8").strip()
    return re.sub(r"\A## (.*)$", r"**\1**", text, count=1, flags=re.MULTILINE)


def technology() -> str:
    """Return the simulator's constants by section, with what their comments say, from technology.toml."""
    lines = (CORE_DATA / "technology.toml").read_text(encoding="utf-8").splitlines()
    sections: dict[str, list[list[str]]] = {}
    section = "General"
    for line in lines[lines.index("") :]:
        if line.startswith("# "):
            section = re.sub(r" *\[E\].*", "", line[2:])
        elif found := re.fullmatch(r"(\w+) = (\S+) *(?:# *)?(.*)", line):
            name, value, comment = found.groups()
            source = re.match(r"\[(\w)\] *", comment)
            origin = SOURCES[source[1]] if source else SOURCES["E"] if "Controller" in section else "assumed"
            comment = comment[source.end() :] if source else comment
            sections.setdefault(section, []).append([f"`{name}`", value, comment, origin])
    head = ["constant", "value", "meaning", "source"]
    return "\n\n".join(f"**{title}**\n\n{table(head, *rows)}" for title, rows in sections.items())


def parameters() -> str:
    """Return the parameters of PRIME's space."""
    rows = [
        [f"`{one['name']}`", one["unit"], ", ".join(f"{value:,}" for value in one["values"])]
        for one in _space()["parameter"]
    ]
    return table(["parameter", "unit", "values"], *rows)


def metrics() -> str:
    """Return the metrics and constraints of PRIME's space, with the constants of its area model."""
    space = _space()
    constants = [[f"`{name}`", f"{value:g}"] for name, value in space["constants"].items()]
    rows = [[f"`{one['name']}`", one["unit"], f"`{one['expression']}`"] for one in space["metric"]]
    rows += [[f"`{one['name']}`", "constraint", f"`{one['expression']}`"] for one in space["constraint"]]
    return f"{table(['metric', 'unit', 'expression'], *rows)}\n\n{table(['constant', 'value'], *constants)}"


def _space() -> dict[str, Any]:
    return tomllib.loads((CORE_DATA / "spaces" / "prime.toml").read_text(encoding="utf-8"))


def mappings() -> str:
    """Return the spatial mappings that the simulator tries, in order."""
    source = (ROOT / "rust" / "core" / "src" / "simulator" / "mapping.rs").read_text(encoding="utf-8")
    names = re.findall(r'Mapping \{.*name: "x=(\w+) y=(\w+) lanes=(\w+)" \}', source)
    return table(["PE columns", "PE rows", "lanes"], *names)


def applications() -> str:
    """Return the applications that come along."""
    import prime_fast as pf

    logged = set(pf.prime_application_names())
    rows = []
    for name in pf.application_names():
        one = pf.Application.bundled(name)
        totals = one.totals
        rows.append(
            [
                name,
                len(one.layers),
                f"{totals['parameter_bytes'] / 1e6:.2f}",
                f"{totals['macs'] / 1e6:,.0f}",
                "yes" if name in logged else "",
            ]
        )
    return table(["application", "layers", "weights, MB", "million MACs", "has a bundled log"], *rows)


def methods() -> str:
    """Return the offline methods by name."""
    from prime_fast.methods import METHODS

    return table(["`--method`", "what it is"], *([f"`{name}`", one.title] for name, one in METHODS.items()))


def budgets() -> str:
    """Return the training settings in which the budgets differ, and what stands beside them."""
    import dataclasses

    from prime_fast.offline import SEARCH_EVALUATIONS
    from prime_fast.surrogate import PRESETS

    presets = [dataclasses.asdict(one) for one in PRESETS.values()]
    differing = [name for name in presets[0] if len({str(one[name]) for one in presets}) > 1]
    rows = [[f"`{name}`", *(one[name] for one in presets)] for name in differing]
    rows.append(["evaluations of the search", *(f"{SEARCH_EVALUATIONS[name]:,}" for name in PRESETS)])
    return table(["setting", *(f"`{name}`" for name in PRESETS)], *rows)


def exit_codes() -> str:
    """Return the exit codes, from the exceptions that carry them."""
    from prime_fast import cli, errors

    kinds = [errors.ConfigurationError, errors.DataError, errors.NoFeasibleDesignError]
    rows = [[kind.exit_code, f"`{kind.__name__}`", kind.__doc__] for kind in kinds]
    done = [0, "", "Done; also where `simulate` explains why a design is infeasible."]
    stopped = [cli.INTERRUPTED, "`KeyboardInterrupt`", "Ctrl-C: what was found by then is printed and kept."]
    return table(["code", "in Python", "when"], done, *rows, stopped)


def commands() -> str:
    """Return what each command's help says: usage, text, examples, arguments and options."""
    from prime_fast.cli import cli

    context = click.Context(cli, info_name="prime-fast")
    return "\n\n".join(_command(cli, context))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    depth = 2 + (0 if context.parent is None else context.command_path.count(" ") - 1)
    if context.parent is not None:
        yield f"{'#' * depth} {context.command_path}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        # What click prints as it stands are examples.
        lines = paragraph.strip().splitlines()
        example = bool(lines) and lines[0].strip() in ("\b", "")
        yield "\n".join(["```sh", *lines[1:], "```"]) if example else html.escape(paragraph, quote=False)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{context.command_path} {usage}\n```"
    records = [one.get_help_record(context) for one in command.get_params(context)]
    rows = [[f"`{names}`", html.escape(text, quote=False)] for names, text in filter(None, records)]
    yield table(["option", "meaning"], *rows)
    if command.epilog:
        yield html.escape(command.epilog, quote=False)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (one := command.get_command(context, name)) is not None:
                yield from _command(one, click.Context(one, info_name=name, parent=context))


def reference(*modules: str) -> str:
    """Return the directives that document all that some modules export."""
    parts = []
    for module in modules:
        found = importlib.import_module(module)
        parts.append(f"## {module}\n\n{(found.__doc__ or '').strip().splitlines()[0]}\n")
        public = [name for name in found.__all__ if not isinstance(getattr(found, name), ModuleType)]
        parts += [f"::: {module}.{name}\n" for name in public]
    return "\n".join(parts)


def notebook(name: str) -> str:
    """Return the cells of docs/notebooks/NAME.ipynb and the outputs that it holds."""
    cells = json.loads((ROOT / "docs" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    parts: list[str] = []
    heading = ""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = next(re.finditer(r"^#+ (.*)$", source, re.MULTILINE), [heading, heading])[1]
            parts.append(source)
        else:
            parts += [f"```python\n{source}\n```", *(_shown(one, heading) for one in cell["outputs"])]
    return "\n\n".join(parts)


def _shown(output: dict[str, Any], heading: str) -> str:
    """Return an output: its picture, described by the heading above, or its text."""
    data = output.get("data", {})
    if "image/png" in data:
        encoded = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="Plot: {html.escape(heading)}" src="data:image/png;base64,{encoded}">'
    text = "".join(output.get("text") or data["text/plain"])
    return f"```text\n{text.rstrip()}\n```"
