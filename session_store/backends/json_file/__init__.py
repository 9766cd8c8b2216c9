"""Sessions in one JSON file: the ``repository``, over a ``format`` with a ``checksum``, which is
replaced whole by ``atomic_file``, several saves by one write (``group_commit``)."""
