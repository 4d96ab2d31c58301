"""One attempt at one question: rules, budgets, what is shown, how it is scored."""
