"""Networks, losses and training, on NumPy alone; the README has the reading order."""
