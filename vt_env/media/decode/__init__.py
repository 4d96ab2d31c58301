"""Exact frames at exact times, from files or folders of pictures."""
