"""``prime-fast optimize``."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from prime_fast.cli.options import (
    Assignment,
    Choice,
    emit,
    grouped,
    output_options,
    remark,
    space_option,
    unique,
    warn,
)
from prime_fast.cli.progress import progress_bar
from prime_fast.errors import PrimeFastError

WITH_RESUME = {"resume", "no_report", "threads", "tensorboard", "mlflow", "json", "quiet", "verbose"}
"""What changes nothing in a result."""


@click.command("optimize")
@click.option(
    "--app",
    "applications",
    multiple=True,
    metavar="NAME",
    help="Application to design for, or path of its TOML file; repeat for one "
    "design for several. MobileNetV2 by default, where no log is given.",
)
@click.option(
    "--learn-from",
    multiple=True,
    metavar="NAME",
    help="Application whose log to learn from; those of --app by default. Designs for others are zero-shot.",
)
@click.option(
    "--logs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Log of designs: a file (Parquet, Arrow, CSV, JSON lines, also .gz), a directory or a pattern in "
    "quotes; the bundled log by default. Repeat to join several.",
)
@click.option(
    "--mapping",
    type=click.Path(path_type=Path),
    help="What the log's columns mean (TOML): names, units, what marks a design infeasible.",
)
@space_option
@click.option(
    "--objective", metavar="COLUMN", help="Figure to minimise; the mapping's by default, else latency_us."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    type=Assignment(number=True),
    help="Upper limit on a metric or column; area_mm2=27 by default in PRIME's space.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    type=Assignment(number=False),
    help="The log calls NAME (parameter, objective, feasible, application) VALUE.",
)
@click.option(
    "--feasible-value",
    "feasible_values",
    multiple=True,
    type=Assignment(number=False),
    help="Status column NAME holds VALUE where a design is feasible; repeat for several.",
)
@click.option(
    "--method",
    default="default",
    show_default=True,
    metavar="NAME",
    help="prime for the published recipe; to compare prime-no-adversarial, prime-no-infeasible, "
    "default-no-constraints, -censoring, -gate, -ensemble, coms, ensemble, regression, trees, random, "
    "best-logged.",
)
@click.option(
    "--combine",
    type=Choice(["geometric", "arithmetic", "worst"]),
    default="geometric",
    show_default=True,
    help="Of several applications, minimise this mean of the objective, or its worst ratio to a reference.",
)
@click.option(
    "--weight", "weights", multiple=True, type=Assignment(number=True), help="Weight of an application; 1."
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=Assignment(number=True),
    help="Objective of an application that `worst` divides by; the best logged by default.",
)
@click.option(
    "--contexts",
    type=click.Path(path_type=Path),
    help="Table (CSV, Parquet) of features of applications that don't come with the package: a column "
    "application, and numbers.",
)
@click.option("--proposals", default=16, show_default=True, metavar="K", help="Designs to propose.")
@click.option(
    "--budget",
    type=Choice(["quick", "standard", "thorough"]),
    default="standard",
    show_default=True,
    help="Effort of training and search.",
)
@click.option(
    "--surrogate",
    "architecture",
    type=Choice(["mlp", "transformer"]),
    help="Network; mlp, but for method prime. The transformer is the published one: tens of minutes.",
)
@click.option("--seed", default=0, show_default=True, help="Same seed, same proposals.")
@click.option("--threads", type=int, help="Threads of the simulator; all processors by default.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New or empty directory for the run's files; prime-fast-runs/DATE-TIME-APP by default.",
)
@click.option(
    "--tensorboard",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory for TensorBoard's event files of the training.",
)
@click.option("--mlflow", metavar="URI", help="MLflow server that takes the training's metrics.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Go on with the run in this directory, which has all its inputs.",
)
@click.option(
    "--no-report", is_flag=True, help="Don't write report.html, the page that `prime-fast report` writes."
)
@output_options
def command(
    applications: tuple[str, ...],
    learn_from: tuple[str, ...],
    logs: tuple[Path, ...],
    space: str | None,
    contexts: Path | None,
    weights: tuple[tuple[str, float], ...],
    references: tuple[tuple[str, float], ...],
    limits: tuple[tuple[str, float], ...],
    columns: tuple[tuple[str, str], ...],
    feasible_values: tuple[tuple[str, str], ...],
    out: Path | None,
    resume: Path | None,
    *,
    no_report: bool,
    **options: Any,
) -> None:
    """Propose designs that beat the logged ones.

    Trains a conservative surrogate on the log, searches it within the limits, and simulates the proposals
    where the bundled simulator knows application and space. Without arguments: MobileNetV2 in 27 mm2.

    \b
    prime-fast optimize
    prime-fast optimize --app U-Net --limit area_mm2=29 --budget quick
    prime-fast optimize --app M4 --learn-from MobileNetV2 --learn-from M5
    prime-fast optimize --logs mine.csv --space mine.toml --objective time_ms
    prime-fast optimize --logs "runs/*.csv" --space mine.toml --mapping names.toml
    prime-fast optimize --resume prime-fast-runs/20260101-120000-mobilenetv2
    """  # noqa: D301 (click reads \b)
    from rich.console import Console

    from prime_fast import pipeline
    from prime_fast.cli.tables import print_result
    from prime_fast.logs import read_contexts
    from prime_fast.run_directory import read_manifest

    if resume is not None:
        _check_alone(click.get_current_context())
        if read_manifest(resume).get("status") == "complete":
            remark(f"The run in {resume} is complete; this is its result.")
    with progress_bar() as progress:
        if resume is not None:
            kept = {name: options[name] for name in ("threads", "tensorboard", "mlflow")}
            result = pipeline.resume(resume, progress=progress, **kept)
        else:
            result = pipeline.optimize(
                list(applications) or None,
                logs=list(logs) or None,
                space=space,
                contexts=None if contexts is None else read_contexts(contexts),
                learn_from=list(learn_from) or None,
                weights=unique("--weight", weights) or None,
                references=unique("--reference", references) or None,
                limits=unique("--limit", limits) or None,
                columns=unique("--column", columns) or None,
                feasible_values=grouped(feasible_values) or None,
                out=out if out is not None else _default_directory(applications, logs),
                progress=progress,
                **options,
            )
    if not no_report and result.out is not None:
        from prime_fast.report import write_report

        try:
            write_report(result.out, figures=False, threads=options["threads"])
        except PrimeFastError as error:
            # The run is whole without it.
            warn(f"no report was written: {error}")
    for warning in result.warnings:
        warn(warning)
    emit(result.as_dict, lambda: print_result(result, Console()))
    if result.interrupted:
        raise KeyboardInterrupt
    _ = result.best


def _default_directory(applications: tuple[str, ...], logs: tuple[Path, ...]) -> Path:
    from prime_fast.workload import is_file_name

    subject = "-".join(Path(name).stem if is_file_name(name) else name for name in applications) or (
        logs[0].name.split(".")[0] if logs else "MobileNetV2"
    )
    stamp = dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d-%H%M%S")
    return Path("prime-fast-runs") / (f"{stamp}-" + re.sub(r"[ *?[\]]", "_", subject.lower()))


def _check_alone(context: click.Context) -> None:
    """Raise a usage error for an option that --resume can't take, as the run has its own."""
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in WITH_RESUME:
            raise click.UsageError(
                f"{parameter.opts[0]} can't be given with --resume: the run goes on as it was begun",
                context,
            )
