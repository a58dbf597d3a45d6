"""Schedulers: metis and those it is compared with, one file each, by name in `baselines.registry`."""
