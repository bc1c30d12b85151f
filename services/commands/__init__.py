"""What the `undertone` command can do, one module a subject."""
