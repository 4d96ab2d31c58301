"""Video input: decoding, clip search and subtitles, cached on disk."""
