"""Viewer of run directories in a browser: episodes, comparisons, curves and notes."""
