"""The demo: calls played through a whole stack on this machine, watched, and held against what was published."""
