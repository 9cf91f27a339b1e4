"""``prime-fast doctor``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from prime_fast.cli.options import emit, is_json, output_options, quiet, wrapped

if TYPE_CHECKING:
    from prime_fast.doctor import Check

SICK = 1
"""Exit code where a check fails."""


@click.command("doctor")
@click.option(
    "--self-test/--no-self-test",
    default=True,
    show_default=True,
    help="Whether to simulate, solve, search and train a little, about ten seconds.",
)
@output_options
@click.pass_context
def command(ctx: click.Context, *, self_test: bool) -> None:
    """Say what is installed and how it runs here, and test it.

    Each line is ok, warning or FAILED; exit code 1 if one FAILED. It tells what makes results differ from
    another machine's, too.

    \b
    prime-fast doctor
    prime-fast doctor --no-self-test --json
    """  # noqa: D301 (click reads \b)
    from prime_fast import doctor

    start = time.perf_counter()
    checks = []
    for check in doctor.examine(file=ctx.meta.get("prime_fast.file"), self_test=self_test):
        checks.append(check)
        if not (quiet() or is_json()):
            click.echo("\n".join(lines(check)))
    seconds = round(time.perf_counter() - start, 3)
    worst = doctor.worst(checks)
    verdict = {"ok": "All is well", "warning": "It works; see the warnings", "FAILED": "Something FAILED"}
    emit(
        lambda: doctor.as_dict(checks, seconds),
        lambda: click.echo(f"\n{verdict[worst]} ({seconds:.0f} s)."),
    )
    if worst == "FAILED":
        ctx.exit(SICK)


def lines(check: Check) -> list[str]:
    """Return a check as lines that fit the terminal."""
    took = "" if check.seconds is None else f" ({check.seconds:.1f} s)"
    start = f"{check.status:<8} {check.check:<16} "
    return wrapped(f"{start}{check.text}{took}", indent=" " * len(start), long_words=True)
