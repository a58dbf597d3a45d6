"""The learner as published: REINFORCE over a fan-out tree, with a high level over sub-schedulers."""
