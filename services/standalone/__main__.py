"""`python -m services.standalone`: the two commands of this package alone."""

from services.standalone.commands import app

app()
