"""Who is calling: principals, API keys, tickets and the scopes they carry."""
