"""One reader per benchmark, the registry that recognises their files, and what turns rows into tasks."""
