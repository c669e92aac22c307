"""Declares the arguments of every command, a module for each group of commands. A command's own code is imported when it runs."""
