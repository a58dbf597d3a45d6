"""Settings: composed by Hydra, validated by pydantic, and the things of the science that they describe."""
