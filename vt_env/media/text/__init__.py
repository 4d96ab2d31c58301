"""Subtitles and captions: read, transcribed, searched, summed up."""
