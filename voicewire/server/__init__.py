"""The transports, and `app`, the one place that builds everything."""
