"""What is computed once and kept: keys, locks, checksums, limits, garbage collection."""
