"""What runs a stage: declarations, keys, the record in MLflow, the memo."""
