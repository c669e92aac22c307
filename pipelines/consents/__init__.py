"""Consents: what a customer allowed us to read, for how long, and what of it we have used."""
