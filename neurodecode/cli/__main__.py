"""``python -m neurodecode.cli``: the same as the command ``neurodecode``."""

import sys

from neurodecode.cli import main

if __name__ == "__main__":
    sys.exit(main())
