"""What an experiment came to, as a person reads it: figures, tables, one HTML and one Markdown file."""
