"""Run directories, provenance, journals, and runs made of several commands."""
