"""The routes of HTTP, one file for each group of resources."""
