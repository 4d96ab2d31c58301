"""Configurations behind flags, and what they build: library, model, policy, judge, prices."""
