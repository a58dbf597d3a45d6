"""YCSB's workloads A and B on memcached."""
