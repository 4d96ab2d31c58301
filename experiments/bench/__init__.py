"""Benchmarks of speed and correctness. They print tables and write `results/`; no test measures with them."""
