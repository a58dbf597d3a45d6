"""The applications: one YAML file each, and the folders their images are built from."""
