"""What one run reads of the banks: tasks, windows, spools and what came of each account."""
