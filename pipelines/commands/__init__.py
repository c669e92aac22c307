"""What people type: one function a command, imported when it is called."""
