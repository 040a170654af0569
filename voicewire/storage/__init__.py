"""What outlives a process: PostgreSQL, Redis, and the ledger that is in both."""
