"""Exact programs over co-locations: the optimum, its relaxation and its bound."""
