"""Groups placed by schedulers: decisions, trained weights, and the comparison with the optimum."""
