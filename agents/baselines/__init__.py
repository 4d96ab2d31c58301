"""Policies without a language model: constant, random, oracle, scripted, subtitle overlap, human."""
