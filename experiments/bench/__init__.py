"""Benchmarks of speed and correctness; they print tables, and no test depends on them."""
