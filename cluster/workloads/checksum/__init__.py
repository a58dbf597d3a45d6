"""SHA-512 of cached files."""
