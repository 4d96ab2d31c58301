"""Pipelines of commands, one file each: `quickstart`, `reproduce`."""
