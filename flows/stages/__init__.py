"""The stages of the chain, one module each: what it declares, and its function."""
