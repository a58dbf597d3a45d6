"""The schedulers metis is compared with: one file each."""
