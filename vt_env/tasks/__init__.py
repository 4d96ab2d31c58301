"""Questions with their keys: the set, and the JSONL rows of a user's own."""
