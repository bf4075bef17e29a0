"""`python -m jessl.cli`, which torchrun and clusters start."""

import sys

from jessl.cli.main import main

sys.exit(main())
