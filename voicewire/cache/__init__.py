"""Clips and takes that outlive a process: what they are as bytes, and the places that keep them."""
