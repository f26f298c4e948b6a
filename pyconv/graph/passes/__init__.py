"""Passes: each turns a graph into one that computes the same with less work. One file a pass, one function `run`.

`PASSES` is the order in which a plan applies them, and all there is to registering one.
"""

from collections.abc import Callable

from pyconv.graph.graph import Graph
from pyconv.graph.passes import (
    activated,
    batch_norm,
    chains,
    common,
    constants,
    epilogue,
    flatten,
    identities,
    maxima,
    pooled,
    recompute,
    saved,
    sooner,
    unused,
)

PASSES: dict[str, Callable[[Graph], Graph]] = {
    "identities": identities.run,
    "constants": constants.run,
    "common": common.run,
    "batch_norm": batch_norm.run,
    "saved": saved.run,
    "pooled": pooled.run,
    "flatten": flatten.run,
    "epilogue": epilogue.run,
    "maxima": maxima.run,
    "activated": activated.run,
    "unused": unused.run,
    "chains": chains.run,
    "sooner": sooner.run,
}


def optimize(graph: Graph, watch: Callable[[str, Graph], None] | None = None, recomputing: bool = False) -> Graph:
    """The graph after all passes; `watch(name, graph)` sees it before the first, as "traced", and after each.

    With `recomputing` the pass `recompute`, which trades time for memory, comes last.
    """
    if watch is not None:
        watch("traced", graph)
    for name, run in {**PASSES, **({"recompute": recompute.run} if recomputing else {})}.items():
        graph = run(graph)
        if watch is not None:
            watch(name, graph)
    return graph
