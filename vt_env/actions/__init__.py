"""Actions: reading replies, writing calls and answers, matching an answer to an option."""
