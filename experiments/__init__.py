"""Mains: what the command line runs."""
