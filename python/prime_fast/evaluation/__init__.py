"""Evaluators: what tells the objective of designs, be it a function, a command or the bundled simulator."""
