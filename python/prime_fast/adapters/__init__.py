"""Bridges to other libraries, each in a module that needs its library: `optuna`, `pymoo`, `sklearn`."""
