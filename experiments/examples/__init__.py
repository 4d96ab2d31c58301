"""Programs to copy: how policies that are not language models learn on these environments."""
