"""`python -m pipelines`."""

import os
import sys

from pipelines.commands.stop import SENTENCE, Stop
from pipelines.store.private import close_to_others

if __name__ == "__main__":
    close_to_others()  # before any file is made
    Stop().listen()  # before the first import that takes time
    try:
        from pipelines.commands.cli import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write(f"{SENTENCE}\n")
        sys.stderr.flush()
        os._exit(130)
