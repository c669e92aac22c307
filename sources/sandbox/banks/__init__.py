"""How each bank speaks of the world: paths, dialects, documents."""
