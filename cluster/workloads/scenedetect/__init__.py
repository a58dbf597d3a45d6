"""Scene detection in a cached video."""
