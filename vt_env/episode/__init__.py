"""Episodes: rules, budgets, observations, scoring and records."""
