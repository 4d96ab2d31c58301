"""Commands of the command line, one folder for each kind; `experiments.cli` lists them."""
