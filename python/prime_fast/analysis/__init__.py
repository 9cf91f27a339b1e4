"""What a finished run knows of a design: neighbours, what matters, who gains, how far it is from the log.

`explain_run` reads the directory of a run and makes an `Analysis`. Importing this package imports no JAX.
"""

from prime_fast.analysis.explaining import Analysis, explain_run
from prime_fast.analysis.importance import Importance, importance
from prime_fast.analysis.plot import draw_changes

__all__ = ["Analysis", "Importance", "draw_changes", "explain_run", "importance"]
