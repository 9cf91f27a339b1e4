"""Networks from files of other tools, as applications."""

from __future__ import annotations

from prime_fast.importing.model import Imported, Unmapped, import_onnx

__all__ = ["Imported", "Unmapped", "import_onnx"]
