"""Launch files for multi-GPU training on one node, and a dry run that needs neither GPU nor hub."""
