"""Many trainings: on all cores, as one program on a GPU, or as a queue for many machines."""
