"""Measured co-locations: profiles and their files, testbeds, and the journal of a series of measurements."""
