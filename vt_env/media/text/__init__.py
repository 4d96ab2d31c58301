"""Subtitles and captions: parsing, speech recognition, search and summaries."""
