"""Doors from the episode to other frameworks; each imports its framework lazily."""
