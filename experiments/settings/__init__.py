"""Configurations shared by commands, and their builders: library, model, policy, prompts, judge, prices."""
