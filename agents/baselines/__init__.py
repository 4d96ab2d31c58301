"""Policies without a language model: the floor, the ceiling, the scripts, a person."""
