"""Telephone calls: carriers' media streams on sessions of ours, and who speaks into them."""
