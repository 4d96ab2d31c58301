"""Exact frames at exact times, from video files or picture folders."""
