"""The programs are imported in ``main``: processes of their own, which import this, do without."""

from __future__ import annotations

if __name__ == "__main__":
    from benchmarks.cli import main

    main()
