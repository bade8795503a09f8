"""Parameters that turn a cache on: they change how fast a step runs and nothing of its result."""

DECODED = "decoded_cache"  # of a data section, see ``mdir.data.sections.data_section``


def without_caches(value):
    """A part of a scenario without them, however deep they lie."""
    if isinstance(value, (list, tuple)):
        return [without_caches(item) for item in value]
    if isinstance(value, dict):
        return {key: without_caches(item) for key, item in value.items() if key != DECODED}
    return value
