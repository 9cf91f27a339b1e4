"""``prime-fast completion``, and what is completed beside commands, options and choices."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from prime_fast.cli.options import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

VARIABLE = "_PRIME_FAST_COMPLETE"


def _applications() -> Iterable[str]:
    from prime_fast import _core

    return _core.Application.bundled_names()


def _spaces() -> Iterable[str]:
    from prime_fast import _core

    return _core.DesignSpace.bundled_names()


def _designs() -> Iterable[str]:
    from prime_fast.designs import reference_design_names

    return reference_design_names()


def _methods() -> Iterable[str]:
    from prime_fast.methods import METHODS

    return METHODS


# By option or argument: the same name means the same everywhere.
NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "--app": _applications,
    "--learn-from": _applications,
    "--space": _spaces,
    "--design": _designs,
    "--method": _methods,
}


def _quoted(name: str) -> str:
    """Return a name as the shell's script wants it: bash takes it as typed, its `read` eats a backslash."""
    return name.replace(" ", "\\\\ ") if os.environ.get(VARIABLE) == "bash_complete" else name


def add_completions(command: click.Command, words: list[str]) -> None:
    """Let options complete names, and files where a file may stand in place of a name."""
    for param in command.params:
        known = NAMES.get(max(param.opts, key=len))
        if param.opts == ["space"] and words == ["space", "inspect"]:
            known = _spaces
        if param.opts == ["name"] and words == ["workload", "show"]:
            known = _applications
        if known is None or isinstance(param.type, click.Choice | click.Path):
            continue

        def complete(
            _ctx: click.Context,
            _param: click.Parameter,
            incomplete: str,
            known: Callable[[], Iterable[str]] = known,
        ) -> list[CompletionItem[str]]:
            start = incomplete.lower()
            found = [CompletionItem(_quoted(name)) for name in known() if name.lower().startswith(start)]
            return found or [CompletionItem(incomplete, type="file")]

        param._custom_shell_complete = complete  # noqa: SLF001 (what the argument shell_complete sets)


@click.command("completion")
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what a shell must run to complete commands, options and names.

    \b
    prime-fast completion bash
    eval "$(prime-fast completion bash)"           # in ~/.bashrc
    eval "$(prime-fast completion zsh)"            # in ~/.zshrc, after compinit
    prime-fast completion fish > ~/.config/fish/completions/prime-fast.fish
    """  # noqa: D301 (click reads \b)
    from prime_fast.cli import NAME, cli

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 (click knows these three)
    click.echo(kind(cli, {}, NAME, VARIABLE).source())
