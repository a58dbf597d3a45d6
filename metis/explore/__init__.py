"""Exploring: which co-locations are worth measuring for the groups to be placed."""
