"""The three Gymnasium environments, their spaces and wrappers (the names Gymnasium itself uses)."""
