"""What is placed where: applications, co-locations, clusters, groups, rules, objectives, placements."""
