"""Annotation readers, one per benchmark, their registry, and the conversion of rows to tasks."""
