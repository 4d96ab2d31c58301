"""verl: an agent loop that plays episodes, and the rows that a training reads. `rows` needs no verl."""
