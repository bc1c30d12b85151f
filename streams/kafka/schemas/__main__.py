"""Write every schema beside its module."""

from streams.kafka.schemas import BODIES, path, text

for type_ in BODIES:
    path(type_).write_text(text(type_))
