"""Matrix products as layers: dense ones, those of activations, Einsum and attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prime_fast.errors import DataError
from prime_fast.importing.building import Builder, given, joined
from prime_fast.importing.inference import Value, attributes, node_name

if TYPE_CHECKING:
    import onnx


class Products(Builder):
    """Makes the layers of matrix products."""

    def _gemm(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        a, b = inputs[0], inputs[1]
        inner = a.shape[-2 if attributes(node).get("transA") else -1]
        return self._product(node, a, b, outputs[0], inner)

    def _matmul(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        return self._product(node, inputs[0], inputs[1], outputs[0], inputs[0].shape[-1])

    _matmulinteger = _matmul

    def _qlinearmatmul(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        return self._product(node, inputs[0], inputs[3], outputs[0], inputs[0].shape[-1])

    def _product(self, node: onnx.NodeProto, a: Value, b: Value, output: Value, inner: int) -> list[Value]:
        """Add a product over `inner` elements; batches of the second operand are groups."""
        if 0 in (a.size, b.size, output.size, inner):
            raise DataError(
                f"node `{node_name(node)}`: a product of nothing, {list(a.shape)} by {list(b.shape)}"
            )
        channel: int | None = len(output.shape) - 1
        if a.constant:
            # The transposed product has the weights behind.
            channel = len(output.shape) - min(2, len(b.shape)) if len(a.shape) > 1 else None
            units = 1 if channel is None else output.shape[channel]
            a, b = b, a
        else:
            units = output.shape[-1] if len(b.shape) > 1 else 1
        groups = max(1, b.size // (inner * units))
        rows = output.size // (groups * units)
        return self._products(node, a, b, output, (rows, groups, inner, units), channel)

    def _products(
        self,
        node: onnx.NodeProto,
        a: Value,
        b: Value,
        output: Value,
        sizes: tuple[int, int, int, int],
        channel: int | None,
        suffix: str = "",
    ) -> list[Value]:
        """Add `groups` products of [rows, inner] by [inner, units], the second operand weights or not."""
        rows, groups, inner, units = sizes
        name = node_name(node) + suffix
        source, made = (rows, 1, groups * inner), (rows, 1, groups * units)
        if not b.constant:
            parts = self.network.add(name, "matmul", joined([a, b]), (source, made), groups=groups)
            return [given(output, parts, channel)]
        self._weight(b, name)
        if rows == 1 and groups == 1:
            parts = self.network.add(name, "dense", a.parts, (self._input(a, source), made))
            return [given(output, parts, channel)]
        alike = self._input(a, source)
        if alike[2] == source[2]:
            source, made = alike, (*alike[:2], made[2])
        parts = self.network.add(name, "conv", a.parts, (source, made), groups=groups)
        return [given(output, parts, channel)]

    def _einsum(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        equation = str(attributes(node).get("equation", "")).replace(" ", "")
        terms, _, result = equation.partition("->")
        names = terms.split(",")
        if (
            "." in equation
            or "->" not in equation
            or len(names) > 2
            or any(len({*n}) < len(n) for n in names)
        ):
            return self._leave(node, inputs, outputs)
        if any(len(name) != len(value.shape) for name, value in zip(names, inputs, strict=True)):
            raise DataError(f"node `{node_name(node)}`: {equation!r} doesn't fit its inputs")
        if len(names) == 1:
            return [given(outputs[0], inputs[0].parts)]
        sizes = {
            index: size
            for name, value in zip(names, inputs, strict=True)
            for index, size in zip(name, value.shape, strict=True)
        }
        (a, b), (first, second) = inputs, names
        if a.constant:
            a, b, first, second = b, a, second, first
        kinds = {"rows": 1, "groups": 1, "inner": 1, "units": 1}
        for index, size in sizes.items():
            mine, theirs, out = index in first, index in second, index in result
            if mine and theirs:
                kinds["groups" if out else "inner"] *= size
            elif out:
                kinds["rows" if mine else "units"] *= size
        order = (kinds["rows"], kinds["groups"], kinds["inner"], kinds["units"])
        return self._products(node, a, b, outputs[0], order, None)

    def _attention(self, node: onnx.NodeProto, inputs: list[Value], outputs: list[Value]) -> list[Value]:
        """Scores of queries by keys, then by values; the operator of opset 23."""
        query, key, value = inputs[:3]
        found = attributes(node)
        output = outputs[0]
        if len(query.shape) == 4:
            batch, heads, rows, inner = query.shape
            length, units = key.shape[2], value.shape[3]
            shared = key.shape[1]
        else:
            batch, rows, width = query.shape
            heads, shared = int(found.get("q_num_heads", 1)), int(found.get("kv_num_heads", 1))
            length, inner, units = key.shape[1], width // max(heads, 1), value.shape[2] // max(shared, 1)
        past = inputs[4] if len(inputs) > 4 and inputs[4].name else None
        length += past.shape[2] if past is not None else 0
        # Heads that share their keys are rows of one product.
        groups, rows = batch * max(shared, 1), rows * max(1, heads // max(shared, 1))
        scores = self._products(node, query, key, output, (rows, groups, inner, length), None, "/scores")
        made = self._products(node, scores[0], value, output, (rows, groups, length, units), None, "/values")
        return [
            given(made[0], made[0].parts, len(output.shape) - 1 if len(output.shape) == 3 else None),
            *(given(each, joined([key, value])) for each in outputs[1:]),
        ]
