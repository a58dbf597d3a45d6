"""Simulators: predict what containers achieve in co-locations that were not measured."""
