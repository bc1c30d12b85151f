"""What a person who trains a bundle may be told: lines that name the place and the remedy."""


class TrainingError(Exception):
    """No bundle can be made, and none was."""


class CorpusError(TrainingError):
    """A corpus cannot be used; the message has one line for each problem found."""


class SchemeError(TrainingError):
    """The corpus and the scheme do not fit each other."""
