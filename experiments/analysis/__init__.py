"""Numbers from journals: pure functions, no files written, no plots."""
