"""What `outlast demo` runs: a real training script, as a user would write it."""
