"""Maximum and average pooling."""

from pyconv.bench.problems import scaled

PROBLEMS = [problem for problem in scaled() if problem.is_pool]


def test_pool(benchmark, row):
    row.run(benchmark)
