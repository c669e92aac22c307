"""The world that the sandbox bank tells of: people, plans, accounts and every payment."""
