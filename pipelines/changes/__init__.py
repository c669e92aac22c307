"""What the banks' answers change in raw history: the diff, the removal guard, the changeset."""
