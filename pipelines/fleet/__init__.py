"""Many customers: data directories called cells, one vault in PostgreSQL, any number of machines (`docs/fleet.md`)."""
