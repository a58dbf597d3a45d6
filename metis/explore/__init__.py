"""Exploration: choosing the co-locations that are worth measuring for the groups to be placed."""
