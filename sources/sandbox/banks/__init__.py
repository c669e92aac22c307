"""Serves the world as each bank does: paths, dialects, documents."""
