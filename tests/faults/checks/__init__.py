"""The checks, by what they break. Each module declares some."""
