"""Commands that play episodes: `eval`, `replay`, `play`."""
