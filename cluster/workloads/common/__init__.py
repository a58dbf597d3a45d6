"""What every image shares: server, stores, test data."""
