"""`python -m outlast.server`: the server of one workspace, in the foreground."""

from __future__ import annotations

import sys

from outlast.server.process import main

sys.exit(main(sys.argv[1:]))
