"""Text a model writes <-> a typed action; an answer text <-> one of the options."""
