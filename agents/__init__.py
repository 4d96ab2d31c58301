"""Policies: random, scripted, and language models over several backends.

No policy but the oracle reads the answer key.
"""
