"""The science: co-locations, groups, placements, objectives, profiles, simulators, learners."""
