"""Other queue managers: their tasks, and the rules of what is taken over."""
