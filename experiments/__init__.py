"""Commands of the command line, one room for each kind; `experiments.cli` lists them."""
