"""``python -m tupletrace.processor.cli``."""

import sys

from tupletrace.processor.cli import main

sys.exit(main())
