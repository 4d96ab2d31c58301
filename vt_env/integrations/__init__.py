"""Adapters for other frameworks, one package each; none is imported by the core."""
