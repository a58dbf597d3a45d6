"""Images of the applications: catalogue, build, distribution."""
