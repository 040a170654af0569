"""Speech without a listener: jobs, batches, and who is told of their end."""
