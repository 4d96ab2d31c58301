"""Checks of this machine, and of what episodes would be played with and whether it fits a model."""
