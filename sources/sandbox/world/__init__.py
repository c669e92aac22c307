"""The world that the sandbox bank serves: people, plans, accounts and every payment."""
