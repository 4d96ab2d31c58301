"""Scores under the official rules, bug for bug, and under a strict rule; tables and exports."""
