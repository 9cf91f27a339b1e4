"""The command line: parses, makes one library call, prints."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource
from click.exceptions import NoSuchCommand

from prime_fast.cli import defaults
from prime_fast.errors import ConfigurationError, PrimeFastError

NAME = "prime-fast"
INTERRUPTED = 130
# Each command's help in a line. Its module, of the same name, is imported when the command is used, so that
# --help stays quick.
COMMANDS = {
    "optimize": "Propose designs that beat the logged ones.",
    "explain": "Explain a proposal of a finished run.",
    "report": "Write a page on a finished run, or compare several.",
    "refine": "Ask your simulator for a few designs a round.",
    "simulate": "Simulate designs; tell what a design's figures are made of.",
    "solve": "Find the best design that the simulator knows, and prove it.",
    "sweep": "Simulate every design of a space.",
    "logs": "Make logs of designs, and look into them.",
    "space": "Propose design spaces from logs, and look into them.",
    "workload": "Networks: the package's, one's own, those of ONNX files.",
    "benchmark": "Compare with what is published, and methods with each other.",
    "doctor": "Say what is installed and how it runs here, and test it.",
    "schema": "Print the JSON Schema of what a command prints with --json.",
    "completion": "Print what a shell must run to complete commands.",
}


@functools.cache
def load(name: str) -> click.Command:
    """Import a command, and give it and those under it what all have: variables, completions, a frame."""
    module: Any = importlib.import_module(f"prime_fast.cli.{name}")
    command = cast(click.Command, module.command)
    _prepare(command, [name])
    return command


def _prepare(command: click.Command, words: list[str]) -> None:
    from prime_fast.cli.completion import add_completions

    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            _prepare(each, [*words, name])
        return
    defaults.add_variables(command, words)
    add_completions(command, words)
    if defaults.options_of(command):
        command.epilog = (
            f"Defaults are read from {defaults.variable(words, '')}OPTION (commas between several values) "
            f"and from [{'.'.join(words)}] in {defaults.FILE}."
        )
    command.callback = _framed(command.callback, words)


def _framed(callback: Any, words: list[str]) -> Any:
    """Tell, around a command, what --verbose wants to know, and where a refused value may be from."""

    @functools.wraps(callback)
    def run(*args: Any, **options: Any) -> Any:
        from prime_fast.cli.options import verbose, warn

        ctx = click.get_current_context()
        file = ctx.meta.get("prime_fast.file")
        for name, hint in defaults.unknown_variables(ctx.command, words).items():
            warn(f"{name} is set, but {' '.join(words)} has no such option{hint}")
        in_force = defaults.in_force(ctx, file)
        if verbose():
            click.echo(" ".join([NAME, *words, *in_force]), err=True)
        start = time.monotonic()
        try:
            return callback(*args, **options)
        except ConfigurationError as error:
            elsewhere = [each for each in in_force if each.endswith(")") and " (from " in each]
            if elsewhere:
                raise ConfigurationError(
                    f"{error}\nNot from the command line: {', '.join(elsewhere)}"
                ) from None
            raise
        finally:
            if verbose():
                click.echo(f"{time.monotonic() - start:.2f} s, {_memory()} at most", err=True)

    return run


def _memory() -> str:
    """Return the most memory that the process took."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return "memory unknown"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{most / (1 << 20 if sys.platform == 'darwin' else 1 << 10):,.0f} MiB"


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command."""
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands, none of which is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; an unknown one is told with the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None


@click.group(
    NAME, cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="PRIME_FAST_CONFIG",
    show_envvar=True,
    help=f"File of defaults. Without it, {defaults.FILE} of the working directory or, in a repository, of "
    "one above it.",
)
@click.version_option(package_name="prime-fast", prog_name=NAME)
@click.pass_context
def cli(ctx: click.Context, file: Path | None) -> None:
    """Design accelerators from logged designs, feasible and infeasible, without a simulator in the loop.

    \b
    prime-fast optimize --app MobileNetV2 --limit area_mm2=27
    prime-fast COMMAND --help

    Options hold for the command they follow. What the command line doesn't say is taken from the
    environment (PRIME_FAST_OPTIMIZE_LIMIT for --limit of optimize), then from the file of defaults
    (limit = ["area_mm2=27"] under [optimize]).
    """  # noqa: D301 (click reads \b)
    file = defaults.find_file() if file is None else file
    if file is not None:
        ctx.meta["prime_fast.file"] = file
        ctx.default_map = defaults.read_file(file, cli, ctx)


def main(args: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 done, 2 usage, 3 bad data, 4 no feasible design, 130 Ctrl-C."""
    # A computation that is under way when the interpreter ends, as after Ctrl-C, would crash it.
    os.environ.setdefault("JAX_CPU_ENABLE_ASYNC_DISPATCH", "false")
    try:
        code = cli.main(args, prog_name=NAME, standalone_mode=False)
    except click.ClickException as error:
        error = _with_variable(error)
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


def _with_variable(error: click.ClickException) -> click.ClickException:
    """Return an error that says, too, which variable of the environment holds a bad value."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or error.param is None:
        return error
    source = error.ctx.get_parameter_source(str(error.param.name))
    if source is not ParameterSource.ENVIRONMENT or getattr(error.param, "show_envvar", False):
        return error
    return click.BadParameter(f"{error.message} (from {error.param.envvar})", error.ctx, error.param)


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
