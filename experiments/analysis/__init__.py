"""Statistics of finished runs: pure functions that write no file and draw nothing."""
