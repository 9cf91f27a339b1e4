"""From runs to files: one page that needs nothing else, and its figures as PNG and SVG."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prime_fast.errors import ConfigurationError
from prime_fast.logs.writing import atomic_file
from prime_fast.report.answers import headline, how_much_better, limits_of, what_to_build
from prime_fast.report.blocks import Figure, Part, quantity
from prime_fast.report.charts import CONFIG
from prime_fast.report.comparison import compared
from prime_fast.report.course import how_it_was_found, how_to_repeat_it
from prime_fast.report.evidence import whether_to_believe_it
from prime_fast.report.reading import ended, read_record
from prime_fast.report.reasons import why

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prime_fast.report.reading import RunRecord

PAGE = "report.html"
FIGURES = "figures"
MOST_RUNS = 6
"""Runs of which all is told; of more only the comparison."""
VEGA_LITE = "6.4"
PNG_SCALE = 2.0


@dataclass(frozen=True)
class WrittenReport:
    """What was written.

    Attributes
    ----------
    page : Path
    figures : list of Path
    warnings : list of str
        What of a run is not as it should be.
    """

    page: Path
    figures: list[Path]
    warnings: list[str]


def write_report(
    runs: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    figures: bool = True,
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> WrittenReport:
    """Write the report of a run, or of several side by side, as one HTML page that needs no network.

    Parameters
    ----------
    runs : path or sequence of paths
        Directories that `optimize` made; also of runs that were interrupted or failed.
    out : path, optional
        Directory for ``report.html`` and ``figures/``; that of the run by default, needed for several.
    figures : bool
        Whether to write each figure as PNG and SVG too.
    threads : int, optional
        Of the simulator; all processors by default.
    progress : callable, optional
        Called with a stage's name, what is done and the total.

    Returns
    -------
    WrittenReport

    Raises
    ------
    ConfigurationError
        If a run is no directory of a run or is named twice, or the files can't be written.
    DataError
        If the manifest of a run is damaged.
    """
    if threads is not None and threads < 1:
        raise ConfigurationError(f"threads is {threads}; it must be at least 1")
    paths = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    if not paths:
        raise ConfigurationError("no run is named; name at least one directory of a run")
    resolved = [path.resolve() for path in paths]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise ConfigurationError(f"{paths[place]}: the run is named twice")
    if out is None and len(paths) > 1:
        raise ConfigurationError("the report of several runs needs a directory: name one by `out` (--out)")
    directory = paths[0] if out is None else Path(out)
    records = [read_record(path, threads) for path in paths]
    try:
        (directory / FIGURES if figures else directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{directory}: can't be used as output directory: {error.strerror}"
        ) from None

    parts: list[Part] = []
    names = _names(paths)
    if len(records) > 1:
        parts.append(compared(records, names))
    for place, (record, name) in enumerate(zip(records, names, strict=True)):
        if len(records) <= MOST_RUNS:
            parts.append(_part(record, name, place if len(records) > 1 else None))
        if progress is not None:
            progress("report", place + 1, len(records))
    page = directory / PAGE
    text = _page(parts, names, left_out=len(records) > MOST_RUNS)
    with atomic_file(page) as file:
        file.write(text.encode())
    written = []
    if figures:
        drawn = [
            block
            for part in parts
            for section in part.sections
            for block in section.blocks
            if isinstance(block, Figure)
        ]
        for place, figure in enumerate(drawn):
            written += draw(figure, directory / FIGURES)
            if progress is not None:
                progress("figures", place + 1, len(drawn))
    return WrittenReport(
        page,
        written,
        [f"{name}: {told}" for record, name in zip(records, names, strict=True) if (told := ended(record))],
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the directories' names, made longer where two are the same."""
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return names


def _part(record: RunRecord, name: str, place: int | None) -> Part:
    """Return the answers for a run, in the order in which an architect asks."""
    sections = [
        what_to_build(record),
        how_much_better(record),
        whether_to_believe_it(record),
        why(record),
        how_it_was_found(record),
        how_to_repeat_it(record),
    ]
    prefix = "" if place is None else f"run-{place + 1}-"
    if prefix:
        sections = [_prefixed(section, prefix) for section in sections]
    warnings = [told for told in (ended(record),) if told]
    warnings += [str(warning) for warning in (record.manifest.get("result") or {}).get("warnings", [])]
    learned = [one for one in record.manifest["learned_from"] if one not in record.applications]
    manifest = record.manifest
    within = f"{quantity(record.objective)[0]} within {limits_of(record)}"
    subtitle = f"{within}; method {manifest['method']}, seed {manifest.get('seed')}"
    if learned:
        subtitle += f"; learned from {', '.join(record.manifest['learned_from'])}"
    title = record.subject if place is None else f"{name}: {record.subject}"
    return Part(f"{prefix}run", title, subtitle, sections, headline(record), warnings)


def _prefixed(section: Any, prefix: str) -> Any:
    from dataclasses import replace

    blocks = [
        replace(block, name=prefix + block.name) if isinstance(block, Figure) else block
        for block in section.blocks
    ]
    return replace(section, name=prefix + section.name, blocks=blocks)


def _page(parts: Sequence[Part], names: Sequence[str], *, left_out: bool) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("prime_fast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["spec"] = _embedded
    environment.filters["kind"] = lambda block: type(block).__name__.lower()
    folder = resources.files("prime_fast.report").joinpath("templates")
    return environment.get_template("report.html").render(
        parts=parts,
        names=names,
        single=len(parts) == 1,
        left_out=left_out,
        most_runs=MOST_RUNS,
        style=folder.joinpath("report.css").read_text(encoding="utf-8"),
        script=folder.joinpath("report.js").read_text(encoding="utf-8"),
        library=_library(),
        version=version("prime-fast"),
    )


@functools.cache
def _library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script (BSD-3-Clause)."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)
    # No end of a script within it, whatever a later release holds.
    return script.replace("</script", r"<\/script")


def _embedded(panel: Any) -> str:
    """Return a panel as JSON that can stand in a script element: no name in it can end that element."""
    spec = panel.properties(width="container").to_dict() | {"config": CONFIG}
    spec.pop("$schema", None)
    text = json.dumps(spec, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def draw(figure: Figure, directory: Path) -> list[Path]:
    """Write a figure as PNG and as SVG."""
    import altair as alt
    import vl_convert

    panels = [panel.properties(width=figure.width) for panel in figure.panels]
    chart = (
        panels[0]
        if len(panels) == 1
        else alt.hconcat(*panels).resolve_scale(
            color="independent",
            x="independent",
            y="independent",
            size="independent",
            opacity="independent",
            strokeDash="independent",
        )
    )
    spec = chart.to_dict() | {"config": {**CONFIG, "background": "white"}}
    paths = [directory / f"{figure.name}{suffix}" for suffix in (".png", ".svg")]
    png = vl_convert.vegalite_to_png(spec, VEGA_LITE, scale=PNG_SCALE)
    svg = vl_convert.vegalite_to_svg(spec, VEGA_LITE)
    for path, content in zip(paths, (png, svg.encode()), strict=True):
        with atomic_file(path) as file:
            file.write(content)
    return paths
