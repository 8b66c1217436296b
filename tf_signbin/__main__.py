"""`python -m tf_signbin` is the command line tool."""

import sys

from tf_signbin.cli import main

sys.exit(main())
