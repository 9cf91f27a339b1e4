"""The command line: parses, makes one library call, prints."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version
from typing import Any, cast

import click

from prime_fast.errors import PrimeFastError

INTERRUPTED = 130
# Where each command lives; imported when it is asked for, so that --help stays quick.
COMMANDS = {
    "optimize": "optimize",
    "explain": "explain",
    "refine": "refine",
    "simulate": "simulate",
    "logs": "logs",
    "space": "space",
    "benchmark": "benchmark",
    "solve": "solve",
    "sweep": "sweep",
    "workload": "workload",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module: Any = importlib.import_module(f"prime_fast.cli.{COMMANDS[cmd_name]}")
        return cast(click.Command, module.command)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(version("prime-fast"), prog_name="prime-fast")
def cli() -> None:
    """Design accelerators from logged designs, feasible and infeasible, without a simulator in the loop."""


def main(args: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 done, 2 usage, 3 bad data, 4 no feasible design, 130 Ctrl-C."""
    # A computation that is under way when the interpreter ends, as after Ctrl-C, would crash it.
    os.environ.setdefault("JAX_CPU_ENABLE_ASYNC_DISPATCH", "false")
    try:
        code = cli.main(args, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except PrimeFastError as error:
        click.echo(f"Error: {error}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`| head`); the interpreter must not try to flush what it left.
        sys.stderr.close()
        code = 0
    sys.exit(code or 0)


def script() -> None:
    """Run the installed command: `main`, and no clearing up of the interpreter after Ctrl-C.

    What there is to keep is written by then, and JAX may still compile on threads of its own, which the
    interpreter's end would crash.
    """
    try:
        main()
    except SystemExit as exit_:
        if exit_.code == INTERRUPTED:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise
