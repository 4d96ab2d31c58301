"""Language-model policies and their wrappers."""
