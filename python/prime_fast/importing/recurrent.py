"""Cells of recurrent networks as layers: the matrix products of each gate, and what combines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prime_fast.errors import DataError
from prime_fast.importing.building import Builder, given
from prime_fast.importing.inference import Value, attributes, node_name
from prime_fast.importing.network import STATE

if TYPE_CHECKING:
    import onnx

    from prime_fast.importing.network import Network

GATES = {"LSTM": ("in", "out", "forget", "update"), "GRU": ("update", "reset", "hidden"), "RNN": ("hidden",)}


class Recurrent(Builder):
    """Makes the layers of LSTM, GRU and plain cells."""

    def _lstm(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        value, weight, state = inputs[:3]
        hidden = int(attributes(node).get("hidden_size") or state.shape[-1])
        if not (weight.constant and state.constant):
            return self._leave(node, inputs, outputs)
        if len(value.shape) != 3 or len(state.shape) != 3 or state.shape[-1] != hidden:
            raise DataError(
                f"node `{node_name(node)}` ({node.op_type}): {hidden} hidden units don't fit weights of "
                f"{list(state.shape)} and an input of {list(value.shape)}"
            )
        steps, batch = value.shape[:2] if not attributes(node).get("layout") else value.shape[1::-1]
        if batch > 1:
            self.notes[f"`{node_name(node)}` runs {batch} sequences one after the other"] = None
        for each in (weight, state):
            self._weight(each, node_name(node))
        parts = cells(
            self.network,
            node_name(node),
            node.op_type,
            value.parts,
            (steps * batch, value.shape[2], hidden),
            directions=state.shape[0],
            reset_after=bool(attributes(node).get("linear_before_reset", 0)),
        )
        return [given(each, parts, len(each.known_shape or (1, 1, 1)) - 1) for each in outputs]

    _gru = _rnn = _lstm


def cells(
    network: Network,
    name: str,
    kind: str,
    inputs: tuple[str, ...],
    sizes: tuple[int, int, int],
    *,
    directions: int,
    reset_after: bool,
) -> tuple[str, ...]:
    """Add the layers of a cell, once a direction; return the names of what they make.

    Parameters
    ----------
    network : Network
    name : str
    kind : {"LSTM", "GRU", "RNN"}
    inputs : tuple of str
    sizes : tuple of int
        Time steps, features of a step, hidden units.
    directions : int
    reset_after : bool
        Whether a GRU's reset gate multiplies the product with the state, not the state.
    """
    steps, features, hidden = sizes
    source, full = (steps, 1, features), (steps, 1, hidden)
    made: list[str] = []
    for direction in range(directions):
        cell = f"{name}/{'forward' if direction == 0 else 'backward'}" if directions > 1 else name

        def product(gate: str, of: tuple[str, ...], cell: str = cell) -> tuple[str, ...]:
            what, read = ("state", full) if of != inputs else ("input", source)
            return network.add(f"{cell}/{gate}_{what}", "recurrent", of, (read, full))

        def combined(what: str, *terms: tuple[str, ...], cell: str = cell) -> tuple[str, ...]:
            parts = tuple(part for term in terms for part in term)
            return network.add(f"{cell}/{what}", "elementwise", parts, (full, full))

        own = {gate: product(gate, inputs) for gate in GATES[kind]}
        if kind == "LSTM":
            past = {gate: product(gate, (STATE,)) for gate in GATES[kind]}
            terms = [term for gate in ("in", "forget", "update") for term in (own[gate], past[gate])]
            state = combined("cell", *terms, (STATE,))
            made += combined("hidden", state, own["out"], past["out"])
        elif kind == "GRU":
            past = {gate: product(gate, (STATE,)) for gate in ("update", "reset")}
            if reset_after:
                past["hidden"] = product("hidden", (STATE,))
                terms = [term for gate in GATES[kind] for term in (own[gate], past[gate])]
            else:
                reset = combined("reset", own["reset"], past["reset"], (STATE,))
                past["hidden"] = product("hidden", reset)
                terms = [term for gate in ("update", "hidden") for term in (own[gate], past[gate])]
            made += combined("hidden", *terms, (STATE,))
        else:
            made += combined("hidden", own["hidden"], product("hidden", (STATE,)))
    return tuple(made)
