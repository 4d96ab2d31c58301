"""Commands that print and draw: `report`, `compare`, `budget`, `sweep`, `rescore`; tables and plots once for all."""
