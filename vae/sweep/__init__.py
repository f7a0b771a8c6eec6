"""Many trainings: on all cores, as one program on a GPU, or by Dask on many machines."""

from vae import startup

startup.require_packages("vae.sweep", {"dask": "dask", "distributed": "distributed"})
