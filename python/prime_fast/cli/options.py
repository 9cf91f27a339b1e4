"""What several commands share: options, the form of their values, and where results and remarks go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prime_fast.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Choice(click.Choice[str]):
    """A choice that suggests the nearest for one that it lacks."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return the sentence."""
        message = super().get_invalid_choice_message(value, ctx)
        return message.removesuffix(".") + did_you_mean(str(value), self.choices)


class Assignment(click.ParamType[tuple[str, float | str]]):
    """``NAME=VALUE``; the value a number or a text."""

    name = "NAME=VALUE"

    def __init__(self, *, number: bool) -> None:
        self.number = number

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float | str]:
        """Split at the first ``=``."""
        if isinstance(value, tuple):
            return value
        name, found, text = str(value).partition("=")
        if not found or not name.strip() or not text.strip():
            self.fail(f"{value!r} is not of the form NAME=VALUE", param, ctx)
        if not self.number:
            return name.strip(), text.strip()
        try:
            return name.strip(), float(text)
        except ValueError:
            self.fail(f"{text!r} in {value!r} is not a number", param, ctx)


def unique(option: str, assignments: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return values by name.

    Raises
    ------
    ConfigurationError
        If a name is given twice: which value was meant can't be known.
    """
    values: dict[str, Any] = {}
    for name, value in assignments:
        if name in values:
            raise ConfigurationError(f"{option}: `{name}` is given twice")
        values[name] = value
    return values


def grouped(assignments: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the values of each name, in the order given."""
    values: dict[str, list[str]] = {}
    for name, value in assignments:
        values.setdefault(name, []).append(value)
    return values


space_option = click.option(
    "--space",
    metavar="SPACE",
    help="Design space: a TOML file or the name of a bundled one; PRIME's by default.",
)


def _kept(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[f"prime_fast.{param.name}"] = value


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --json, --quiet and --verbose, which `emit`, `warn` and the progress heed."""
    for name, text in (
        ("verbose", "More digits, all rows; on stderr what options are in force, and times by stage."),
        ("quiet", "No progress, no warnings, no text: files, errors and what --json prints."),
        ("json", "Print the result as JSON; `prime-fast schema` describes it."),
    ):
        option = click.option(f"--{name}", is_flag=True, expose_value=False, callback=_kept, help=text)
        command = option(command)
    return command


def _is(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(f"prime_fast.{name}", False))


def quiet() -> bool:
    """Whether the command was told to be quiet."""
    return _is("quiet")


def verbose() -> bool:
    """Whether the command was asked for more."""
    return _is("verbose")


def is_json() -> bool:
    """Whether the result is asked for as JSON."""
    return _is("json")


def schema_name(path: Iterable[str]) -> str:
    """Return what the JSON of a command bears as `schema`, by the words of the command."""
    return f"prime-fast/{'-'.join(path)}/1"


def emit(data: Callable[[], Mapping[str, Any]], text: Callable[[], object]) -> None:
    """Print a result: `data` and its schema's name where JSON is asked for, else what `text` prints."""
    if is_json():
        import json

        from prime_fast.run_directory import json_data

        words = click.get_current_context().command_path.split()[1:]
        result = json_data({"schema": schema_name(words), **data()})
        click.echo(json.dumps(result, indent=2, allow_nan=False))
    elif not quiet():
        text()


def warn(sentence: str) -> None:
    """Print a warning on stderr."""
    if not quiet():
        click.echo(f"Warning: {sentence}", err=True)


def remark(sentence: str) -> None:
    """Print a sentence on stderr that is no warning."""
    if not quiet():
        click.echo(sentence, err=True)


def terminal_width() -> int:
    """Return the columns that text may take: the terminal's, COLUMNS, or 80."""
    import shutil

    return shutil.get_terminal_size((80, 24)).columns


def wrapped(text: str, *, indent: str = "", long_words: bool = False) -> list[str]:
    """Wrap a text at the terminal's width, but at 100 columns at most, as more is hard to read."""
    import textwrap

    return textwrap.wrap(
        text,
        min(terminal_width(), 100),
        subsequent_indent=indent,
        break_long_words=long_words,
        break_on_hyphens=False,
    ) or [""]
