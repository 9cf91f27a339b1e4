"""Where options get values that the command line doesn't give: the environment, and a file of defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from prime_fast.errors import ConfigurationError, did_you_mean

FILE = "prime-fast.toml"
PREFIX = "PRIME_FAST"
# Separates the values of an option that may be repeated, in a variable of the environment.
SEPARATOR = ","


def key_of(option: click.Option) -> str:
    """Return what an option is called in the file: its long name without the dashes."""
    return max(option.opts, key=len).lstrip("-")


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by their key."""
    return {key_of(param): param for param in command.params if isinstance(param, click.Option)}


def variable(words: list[str], key: str) -> str:
    """Return the environment's variable for an option."""
    return "_".join([PREFIX, *words, key]).upper().replace("-", "_")


def add_variables(command: click.Command, words: list[str]) -> None:
    """Let every option of a command have its variable."""
    import copy

    for key, option in options_of(command).items():
        option.envvar = variable(words, key)
        if option.multiple:
            option.type = copy.copy(option.type)
            vars(option.type)["envvar_list_splitter"] = SEPARATOR


def unknown_variables(command: click.Command, words: list[str]) -> dict[str, str]:
    """Return the set variables that begin as those of the command and are none, and a hint for each."""
    known = [variable(words, key) for key in options_of(command)]
    start = variable(words, "")
    return {
        name: did_you_mean(name, known)
        for name in sorted(os.environ)
        if name.startswith(start) and name not in known
    }


def find_file() -> Path | None:
    """Return the nearest file of defaults: here, or above it up to the repository's root."""
    try:
        here = Path.cwd()
    except OSError:  # it was deleted
        return None
    directories = [here, *here.parents]
    root = next((place for place, each in enumerate(directories) if (each / ".git").exists()), 0)
    found = (each / FILE for each in directories[: root + 1])
    return next((file for file in found if file.is_file()), None)


def read_file(file: Path, group: click.Group, ctx: click.Context) -> dict[str, Any]:
    """Return the file's defaults as click takes them: by command, then by parameter.

    Raises
    ------
    ConfigurationError
        If it can't be read, or names a command, an option or a value that there is not.
    """
    import tomllib

    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"can't read {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    return _commands(file, group, ctx, tables, [])


def _commands(
    file: Path, group: click.Group, ctx: click.Context, tables: dict[str, Any], above: list[str]
) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    known = group.list_commands(ctx)
    for name, table in tables.items():
        words = [*above, name]
        command = group.get_command(ctx, name)
        if command is None:
            raise ConfigurationError(
                f"{file}: there is no command `{' '.join(words)}`{did_you_mean(name, known)}; "
                f"known: {', '.join(known)}"
            )
        if not isinstance(table, dict):
            raise ConfigurationError(f"{file}: `{name}` is {table!r}; expected a table, [{'.'.join(words)}]")
        if isinstance(command, click.Group):
            defaults[name] = _commands(file, command, ctx, table, words)
        else:
            defaults[name] = _options(file, command, ctx, table, words)
    return defaults


def _options(
    file: Path, command: click.Command, ctx: click.Context, table: dict[str, Any], words: list[str]
) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    known = {key: option for key, option in options_of(command).items() if key != "help"}
    for key, value in table.items():
        where = f"{file}: [{'.'.join(words)}] {key}"
        if key not in known:
            raise ConfigurationError(
                f"{where}: {' '.join(words)} has no such option{did_you_mean(key, known)}; "
                f"it has {', '.join(known)}"
            )
        option = known[key]
        assert option.name is not None  # noqa: S101 (click gives each a name)
        defaults[option.name] = _value(where, option, ctx, value)
    return defaults


def _value(where: str, option: click.Option, ctx: click.Context, value: Any) -> Any:
    """Return a value as the command line would give it: text, or a list of texts."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{where}: {value!r} is not true or false")
        return value
    if option.multiple:
        if isinstance(value, dict):  # limit = { area_mm2 = 29 }
            value = [f"{name}={each}" for name, each in value.items()]
        if not isinstance(value, list):
            raise ConfigurationError(f"{where}: {value!r} is no list; write [{_told(value)}]")
    values = value if option.multiple else [value]
    for each in values:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise ConfigurationError(f"{where}: {each!r} is no text or number")
        try:
            option.type.convert(str(each), option, ctx)
        except click.BadParameter as error:
            raise ConfigurationError(f"{where}: {error.message}") from None
    return [str(each) for each in values] if option.multiple else str(value)


def _told(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def in_force(ctx: click.Context, file: Path | None) -> list[str]:
    """Return the arguments, and each option that is not at its built-in default, with where it is from."""
    told: list[str] = []
    for argument in ctx.command.params:
        if isinstance(argument, click.Argument):
            value = ctx.params.get(str(argument.name))
            told += map(str, value) if isinstance(value, tuple) else [str(value)]
    for key, option in options_of(ctx.command).items():
        source = ctx.get_parameter_source(str(option.name))
        value = ctx.params.get(str(option.name))
        if source is ParameterSource.ENVIRONMENT:
            told.append(f"{_spelled(key, option, value)} (from {option.envvar})")
        elif source is ParameterSource.DEFAULT_MAP:
            told.append(f"{_spelled(key, option, value)} (from {file})")
        elif source is ParameterSource.COMMANDLINE and option.expose_value:
            told.append(_spelled(key, option, value))
    return told


def _spelled(key: str, option: click.Option, value: object) -> str:
    if option.is_flag or not option.expose_value:
        return f"--{key}"
    values = value if isinstance(value, tuple | list) and option.multiple else [value]
    told = ["=".join(map(str, each)) if isinstance(each, tuple) else str(each) for each in values]
    return " ".join(f"--{key} {each}" for each in told)
