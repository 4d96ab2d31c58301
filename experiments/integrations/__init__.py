"""Packages and scripts for engines and models that do not share our environment; each folder says what it needs."""
