"""`python -m outlast.server`: the server of one workspace, in the foreground."""

from __future__ import annotations

import gc
import sys

gc.disable()  # until all is imported, see process.py: a tenth of the start

from outlast.server.process import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
