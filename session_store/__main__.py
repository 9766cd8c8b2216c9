"""``python -m session_store``: the command line, also where no script was installed."""

import sys

from session_store.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
