"""Commands that play: `eval`, `replay`, `play`."""
