"""Many trainings: a grid of settings, a queue that keeps them, and workers on any number of machines."""
