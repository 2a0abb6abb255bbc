"""`python -m stack`: the `aforo` command."""

from stack.cli import app

app()
