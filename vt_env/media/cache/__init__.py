"""Disk cache: keys, locks, checksums, size limits, garbage collection."""
