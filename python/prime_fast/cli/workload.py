"""``prime-fast workload``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prime_fast.cli.options import emit, output_options, terminal_width, unique, wrapped
from prime_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from prime_fast.importing import Imported
    from prime_fast.workload import Application

BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
COUNTS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
# Widths of the columns of layers in 80 columns: name, kind, output.
NAME, KIND, OUTPUT = 20, 19, 12


class _Binding(click.ParamType[tuple[str, float]]):
    """``NAME=NUMBER``, a whole one or not; the name may hold anything but that it starts the number."""

    name = "NAME=N"

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Split at the last ``=``."""
        if isinstance(value, tuple):
            return value
        name, found, text = str(value).rpartition("=")
        if not found or not name.strip():
            self.fail(f"{value!r} is not of the form NAME=N, such as batch=1", param, ctx)
        try:
            return name.strip(), int(text) if self.whole else float(text)
        except ValueError:
            self.fail(f"{text!r} in {value!r} is not a {'whole ' if self.whole else ''}number", param, ctx)


@click.group("workload")
def command() -> None:
    """Networks: those that ship with the package, one's own, and from ONNX files."""


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="MODEL.onnx")
@click.option("--name", help="Name of the application; the file's by default.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Application file to write, .toml."
)
@click.option(
    "--dim",
    "dims",
    multiple=True,
    type=_Binding(whole=True),
    help="Size of an unknown dimension, by symbol (batch=1) or by input and axis (x.0=1); repeat for more.",
)
@click.option(
    "--value",
    "values",
    multiple=True,
    type=_Binding(whole=False),
    help="An input of one number that is always the same, such as a sampling rate that a branch depends on.",
)
@click.option(
    "--most-unmapped",
    type=float,
    default=0.01,
    show_default=True,
    metavar="SHARE",
    help="Share of the operations that may be in operators that are no layer; more is an error.",
)
@output_options
def import_(
    file: Path,
    name: str | None,
    out: Path,
    dims: tuple[tuple[str, int], ...],
    values: tuple[tuple[str, float], ...],
    most_unmapped: float,
) -> None:
    """Make an application of an ONNX file; needs the extra `prime-fast[onnx]`.

    Weights need not be there. One inference of one sample is described: bind the batch to 1.

    \b
    prime-fast workload import model.onnx --out mine.toml --dim batch=1
    prime-fast simulate --app mine.toml --design edge-tpu-v1
    """  # noqa: D301 (click reads \b)
    from prime_fast.importing import import_onnx
    from prime_fast.logs.writing import atomic_file
    from prime_fast.workload import application_names

    if out.suffix != ".toml":
        raise ConfigurationError(f"can't write {out}: the name of an application file must end in .toml")
    chosen = file.stem if name is None else name
    if not chosen.strip():
        raise ConfigurationError("--name: the name is empty")
    if taken := next((known for known in application_names() if known.lower() == chosen.lower()), None):
        raise ConfigurationError(
            f"{taken} is an application that ships with the package; give the network another --name"
        )
    found = import_onnx(
        file,
        chosen,
        dims=unique("--dim", dims),
        values=unique("--value", values),
        most_unmapped=most_unmapped,
    )
    with atomic_file(out) as opened:
        opened.write(found.toml.encode())
    emit(lambda: _imported(found, out), lambda: click.echo("\n".join(_import_lines(found, out))))


def _imported(found: Imported, out: Path) -> dict[str, Any]:
    operators = [
        {"operator": operator, "nodes": nodes, "operations": operations}
        for operator, (nodes, operations) in found.operators().items()
    ]
    return {
        "file": str(out),
        **_summary(found.application),
        "unmapped": operators,
        "unmapped_share": found.share,
        "notes": list(found.notes),
    }


def _import_lines(found: Imported, out: Path) -> list[str]:
    application = found.application
    totals, layers = application.totals, application.layers
    shown = _wrapped(
        f"{application.name}: {len(layers)} layers, {count(totals['macs'])} MACs, "
        f"{count(totals['parameter_bytes'])} parameters, input {_shape(application.input)}"
    )
    kinds: dict[str, int] = {}
    for layer in layers:
        kinds[layer["kind"]] = kinds.get(layer["kind"], 0) + 1
    shown += _wrapped("Layers: " + ", ".join(f"{number} {kind}" for kind, number in kinds.items()))
    whole = (
        totals["macs"] + totals["vector_operations"] + sum(each.operations or 0 for each in found.unmapped)
    )
    for operator, (nodes, operations) in found.operators().items():
        share = "unknown" if operations is None else f"{100 * operations / max(whole, 1):.3g}%"
        shown += _wrapped(f"Not mapped: {nodes} {operator}, share of the operations {share}")
    shown += [line for note in found.notes for line in _wrapped(f"Note: {note}")]
    return [*shown, f"File: {out}"]


@command.command("list")
@output_options
def list_() -> None:
    """List the applications that ship with the package.

    \b
    prime-fast workload list
    """  # noqa: D301 (click reads \b)
    from prime_fast.workload import Application, application_names

    applications = [Application.bundled(name) for name in application_names()]
    emit(
        lambda: {"applications": [_summary(application) for application in applications]},
        lambda: click.echo("\n".join(_list_lines(applications))),
    )


def _list_lines(applications: list[Application]) -> list[str]:
    heading = f"{'':<24}{'kind':<14}{'layers':>6}{'MACs':>10}{'parameters':>12}{'activation':>12}"
    shown = [heading]
    for application in applications:
        totals = application.totals
        mark = " *" if application.is_stand_in else ""
        shown.append(
            f"{application.name + mark:<24}{_kind(application):<14}{len(application.layers):>6}"
            f"{count(totals['macs']):>10}{size(totals['parameter_bytes']):>12}"
            f"{size(totals['largest_activation_bytes']):>12}"
        )
    shown += ["", "activation: most bytes of activations that one layer reads and writes"]
    return [*shown, "* stands in for a network that is not public"]


@command.command("show")
@click.argument("name", metavar="NAME_OR_FILE")
@output_options
def show(name: str) -> None:
    """Show an application's layers and totals, and the features by which a surrogate knows it.

    NAME_OR_FILE is the name of an application of the package, or the path of an application file.

    \b
    prime-fast workload show MobileNetV2
    prime-fast workload show mine.toml --json
    """  # noqa: D301 (click reads \b)
    from prime_fast.workload import application_named

    application = application_named(name)
    emit(
        lambda: {**_summary(application), "layers": application.layers},
        lambda: click.echo("\n".join(lines(application))),
    )


def _summary(application: Application) -> dict[str, Any]:
    from prime_fast.workload import FEATURES, context_of

    return {
        "name": application.name,
        "title": application.title,
        "source": application.source,
        "stand_in": application.is_stand_in,
        "kind": _kind(application),
        "input": application.input,
        "layer_count": len(application.layers),
        "totals": application.totals,
        "context": dict(zip(FEATURES, context_of(application).tolist(), strict=True)),
    }


def lines(application: Application) -> list[str]:
    """Return an application as lines that fit the terminal."""
    from prime_fast.workload import FEATURES, context_of

    totals = application.totals
    shown = [
        *_wrapped(f"{application.name}: {application.title}"),
        *_wrapped(f"Source: {application.source}"),
    ]
    shown += [f"Input: {_shape(application.input)}", ""]
    more = max(0, terminal_width() - 80)
    longest = [max(len(text(layer)) for layer in application.layers) for text in (_name, _window)]
    name = max(NAME, min(longest[0], NAME + more))
    kind = max(KIND, min(longest[1], KIND + more - (name - NAME)))
    shown.append(
        f"{'layer':<{name}} {'kind':<{kind}} {'output':<{OUTPUT}} {'MACs':>7} {'param.':>8} {'activ.':>8}"
    )
    for layer in application.layers:
        activations = layer["input_bytes"] + layer["output_bytes"]
        shown.append(
            f"{_cut(layer['name'], name):<{name}} {_cut(_window(layer), kind):<{kind}} "
            f"{_cut(_shape(layer['output']), OUTPUT):<{OUTPUT}} {count(layer['macs']):>7} "
            f"{size(layer['parameter_bytes']):>8} {size(activations):>8}"
        )
    shown += ["", *_wrapped("param.: bytes of weights; activ.: bytes that the layer reads and writes"), ""]
    label = max(map(len, FEATURES)) + 2
    shown.append(f"{'':<{label}}{'value':>20}{'context':>12}")
    values: dict[str, float] = {**totals}  # type: ignore[dict-item]
    for feature, logarithm in zip(FEATURES, context_of(application), strict=True):
        value = f"{values[feature]:,}" if feature in values else "-"
        shown.append(f"{feature:<{label}}{value:>20}{logarithm:>12.4f}")
    return [
        *shown,
        *_wrapped("context: log(1 + value), what a surrogate of several applications knows of each"),
    ]


def _name(layer: dict[str, Any] | Any) -> str:
    return str(layer["name"])


def _window(layer: dict[str, Any] | Any) -> str:
    """Return the kind with its window: ``conv 3x3/2 d2 g4``."""
    text = str(layer["kind"]).removesuffix("_conv")
    if layer["kernel"] != [1, 1]:
        text += " " + "x".join(map(str, layer["kernel"]))
    if layer["stride"] != [1, 1]:
        text += "/" + "x".join(map(str, dict.fromkeys(layer["stride"])))
    if layer["dilation"] != [1, 1]:
        text += " d" + "x".join(map(str, dict.fromkeys(layer["dilation"])))
    if layer["groups"] != 1 and layer["kind"] != "depthwise":
        text += f" g{layer['groups']}"
    return text


def _kind(application: Application) -> str:
    kinds = {layer["kind"] for layer in application.layers}
    if "recurrent" in kinds:
        return "recurrent"
    return "attention" if "matmul" in kinds else "convolutional" if "conv" in kinds else "other"


def _shape(shape: list[int]) -> str:
    return "x".join(map(str, shape))


def _cut(text: str, width: int) -> str:
    """Return a text that fits, its middle left out where it is too long."""
    if len(text) <= width:
        return text
    end = (width - 2) // 2
    return f"{text[: width - 2 - end]}..{text[-end:]}"


def count(number: int) -> str:
    """Return a number of at most four digits, and k, M, G or T."""
    return _scaled(number, COUNTS, "")


def size(number: int) -> str:
    """Return a number of bytes of at most four digits, and B, KiB, MiB or GiB."""
    return _scaled(number, BYTES, " B" if number else "")


def _scaled(number: int, units: tuple[tuple[int, str], ...], plain: str) -> str:
    for factor, unit in units:
        if number >= factor:
            value = number / factor
            gap = " " if len(unit) > 1 else ""
            # Three digits of bytes, four of what has no gap.
            long = 0 if gap or value >= 999.5 else 1
            return f"{value:.{long if value >= 99.95 else 2 if value < 9.995 or not gap else 1}f}{gap}{unit}"
    return f"{number}{plain}"


def _wrapped(text: str) -> list[str]:
    return wrapped(text, long_words=True)
