"""Benchmarks: the named problems, the engines that solve them, how these are timed, and the report."""
