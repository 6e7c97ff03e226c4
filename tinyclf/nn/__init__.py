"""A network, its loss and its training, on NumPy alone. The README has the order in which to read the modules."""
