"""Task sets with answer keys, and JSONL rows of user-supplied tasks."""
