"""Exercises of the base for the second world: single clips and short texts, never a whole video or a tool call."""
