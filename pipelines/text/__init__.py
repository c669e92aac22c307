"""How names and text reach people: names made harmless, tables, the end of an account's number."""
