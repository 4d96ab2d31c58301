"""What a policy may call: one typed function per tool, and everything derived from it."""
