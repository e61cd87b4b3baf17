"""`python -m gradcon_ext` is `gradcon`."""

import sys

from gradcon_ext.cli import main

sys.exit(main())
