"""Each prints a ratio to a floor or peer of the same run; figures in BENCHMARKS.md."""
