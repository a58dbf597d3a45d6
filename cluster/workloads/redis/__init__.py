"""Redis under redis-benchmark."""
