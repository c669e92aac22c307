"""`python -m pipelines`."""

import os
import sys

from pipelines.private import close_to_others
from pipelines.stop import SENTENCE, Stop

if __name__ == "__main__":
    close_to_others()  # before any file is made
    Stop().listen()  # before the first import that takes time
    try:
        from pipelines.cli import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write(f"{SENTENCE}\n")
        sys.stderr.flush()
        os._exit(130)
