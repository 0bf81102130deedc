"""The command line, a file a group of commands. Heavy imports stand inside the commands."""
