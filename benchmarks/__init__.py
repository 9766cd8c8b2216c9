"""How fast the stores are beside hand-written SQL: ``python -m benchmarks --help``."""
