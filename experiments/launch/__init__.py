"""Training on one node of several GPUs: launch files, and a dry run of them that needs no GPU and no hub."""
