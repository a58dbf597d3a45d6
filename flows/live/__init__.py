"""A live cluster: its hosts, what runs on it, deployment, profile and watching."""
