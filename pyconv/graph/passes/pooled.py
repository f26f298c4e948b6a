"""ReLU after maximum pooling rather than before it, in training: there are fewer elements, forward and backward.

The maximum of what ReLU gives is ReLU of the maximum. Backward, an input that is its window's maximum and positive
takes the gradient either way, and where no input is positive none does. In inference ReLU is part of the layer before
it, and costs nothing there.
"""

from __future__ import annotations

from pyconv.graph.graph import Graph, are_same
from pyconv.ops.elementwise import Unary, UnaryBackward
from pyconv.ops.node import Node
from pyconv.ops.pool import MaxPool, MaxPoolBackward

RELU = Unary("relu")
RELU_BACKWARD = UnaryBackward("relu")


def run(graph: Graph) -> Graph:
    """Pools exchanged with the ReLU before them where nothing but the two and their gradients reads its result."""
    readers = {key: list({id(r): r for r in nodes}.values()) for key, nodes in graph.consumers().items()}
    pooled: dict[int, Node] = {}  # id of what ReLU gives -> ReLU of the pool

    def moves(pool: Node, relu: Node) -> bool:
        """Whether all that reads a ReLU's result is this pool, the pool's gradient and then the ReLU's."""
        if relu.op != RELU or _has_empty_windows(pool):
            return False
        assert isinstance(pool.op, MaxPool)
        gradient = MaxPoolBackward(pool.op.spec)
        others = [r for r in readers[id(relu)] if r is not pool]
        by_pool = [r for r in others if r.op == gradient and r.inputs[1] is relu]
        if len(by_pool) != 1 or len(others) != 2:
            return False
        (by_relu,) = (r for r in others if r is not by_pool[0])
        through = by_relu.op == RELU_BACKWARD and are_same(by_relu.inputs, [by_pool[0], relu, relu])
        return through and are_same(readers[id(by_pool[0])], [by_relu])

    def change(node: Node, inputs: tuple[Node | None, ...]) -> Node | None:
        if isinstance(node.op, MaxPool):
            (old,), (relu,) = node.inputs, inputs
            assert old is not None
            assert relu is not None
            if moves(node, old):
                pooled[id(old)] = RELU(node.op(relu.inputs[0]))
                return pooled[id(old)]
        if node.op == RELU_BACKWARD and node.inputs[2] is not None and id(node.inputs[2]) in pooled:
            dpool, _, relu = inputs
            assert dpool is not None
            assert dpool.op is not None
            assert relu is not None
            y = pooled[id(node.inputs[2])]
            return dpool.op(RELU_BACKWARD(dpool.inputs[0], y, y), relu.inputs[0])
        return None

    return graph.rewrite(change)


def _has_empty_windows(pool: Node) -> bool:
    """Whether a window holds padding alone: its maximum is -inf, but ReLU of that is 0."""
    (x,) = pool.inputs
    assert isinstance(pool.op, MaxPool)
    assert x is not None
    return any(count == 0 for window in pool.op.spec.windows(x.shape[2:]) for count in window.count)
