"""Networks, losses and training, on NumPy alone; docs/explanation/code.md has the reading order."""
