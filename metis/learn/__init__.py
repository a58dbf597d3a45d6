"""Learning: the one training loop, and the learners that it drives."""
