"""``prime-fast schema``."""

from __future__ import annotations

import json

import click

from prime_fast.errors import ConfigurationError, did_you_mean


@click.command("schema")
@click.argument("words", nargs=-1, metavar="COMMAND...")
def command(words: tuple[str, ...]) -> None:
    """Print the JSON Schema of what COMMAND prints with --json; of all commands without one.

    A result names its schema: "schema": "prime-fast/solve/1". Within such a number fields may be added, and
    those that are there stay as they are. Of a command that fails there is no result: stdout is empty, the
    error is on stderr, and the exit code tells its kind.

    \b
    prime-fast schema logs inspect
    """  # noqa: D301 (click reads \b)
    from prime_fast.cli.schemas import RESULTS, json_schema

    name = " ".join(words)
    if name and name not in RESULTS:
        raise ConfigurationError(
            f"no result of `{name}` is described{did_you_mean(name, RESULTS)}; known: {', '.join(RESULTS)}"
        )
    schemas = json_schema(name) if name else {each: json_schema(each) for each in RESULTS}
    click.echo(json.dumps(schemas, indent=2))
