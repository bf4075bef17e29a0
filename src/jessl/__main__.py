"""`python -m jessl`: the command line, where the script `jessl` is not on the path."""

import sys

from jessl.cli.main import main

sys.exit(main())
