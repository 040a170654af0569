"""Workers on other hosts: what gateways and workers keep in Redis, and each one's end of it."""
