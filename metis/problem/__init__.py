"""The problem: applications, co-locations, clusters, groups, rules, objectives, placements."""
