"""Serves the test images over the network."""
