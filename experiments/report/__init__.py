"""Commands that print and plot results: `report`, `compare`, `budget`, `sweep`, `rescore`."""
