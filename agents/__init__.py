"""Policies: random, scripted, and language models over several backends.

None of them knows the answer key, the oracle excepted.
"""
