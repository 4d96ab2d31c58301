"""Benchmarks: commands that print tables and ratios. Not part of the test run, and never timed by it."""
