"""Run directories, their readers, provenance, journals and pipelines of commands."""
