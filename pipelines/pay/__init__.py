"""Payments at Kontist, switched off by default. Only a person at a terminal can make one: no run, no flow and no module besides
reaches this package (`lint-imports`)."""
