"""The command `metis`: verbs, their results, and how these are presented."""
