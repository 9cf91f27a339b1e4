"""Batched search over a discrete design space: ask and tell, and a driver."""

from __future__ import annotations

from prime_fast.search.driver import minimize
from prime_fast.search.optimizer import METHODS, Optimizer, Scorer
from prime_fast.search.result import SearchResult, hypervolume

__all__ = ["METHODS", "Optimizer", "Scorer", "SearchResult", "hypervolume", "minimize"]
