"""How each op is written as ONNX, one file a family. Importing the package registers them all."""

from pyconv.onnx.rules import elementwise, layers, pool, shape

__all__ = ["elementwise", "layers", "pool", "shape"]
