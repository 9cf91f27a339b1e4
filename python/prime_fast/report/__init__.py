"""The report of a run: what to build, how much better it is, why to believe it, how it was found.

`write_report` reads directories of runs and writes one HTML page with its figures.
"""

from prime_fast.report.writing import WrittenReport, write_report

__all__ = ["WrittenReport", "write_report"]
