"""What can go wrong with data. All messages name the file and say what to do."""


class PackError(ValueError):
    """A source, a pack or a place to write one is not usable."""


class DecodeError(ValueError):
    """Bytes that are no readable image."""


class SampleError(RuntimeError):
    """One image of an epoch could not be prepared; the message names it."""
