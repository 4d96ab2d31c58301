"""From videos and questions to grounded trajectories."""
