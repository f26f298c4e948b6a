"""Depthwise convolutions."""

from pyconv.bench.problems import scaled

PROBLEMS = [problem for problem in scaled() if problem.is_depthwise]


def test_depthwise(benchmark, row):
    row.run(benchmark)
