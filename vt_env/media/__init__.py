"""From a video file to frames, clips and subtitles, read once and kept on disk."""
