"""The value learner: V of a sub-cluster learned once, and the scheduler that places any group by it."""
