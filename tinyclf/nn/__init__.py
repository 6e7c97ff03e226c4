"""A network, its loss and its training, on NumPy alone; the README has the reading order."""
