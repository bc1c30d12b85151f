"""What a person who starts the stack may be told: one line that names the place and the remedy."""


class StandaloneError(Exception):
    """The stack cannot start or go on."""
