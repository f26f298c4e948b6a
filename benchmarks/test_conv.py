"""Convolutions that mix channels: dense, grouped, dilated, transposed; one, two and three dimensions."""

from pyconv.bench.problems import scaled

PROBLEMS = [problem for problem in scaled() if not problem.is_pool and not problem.is_depthwise]


def test_conv(benchmark, row):
    row.run(benchmark)
