"""Tools offered to a policy: one typed function each, from which schema, prompt line and space are derived."""
