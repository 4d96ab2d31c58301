"""Other frameworks play episodes: one room each, imported only by who names the framework."""
