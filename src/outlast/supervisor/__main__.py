"""python -I -S outlast/supervisor/__main__.py FOLDER --attempt N [--mode MODE] [--owner PID TICKS]

-I and -S spare the start, and keep the job's environment out of the supervisor; so this file puts
its own root on the path. Standard streams: /dev/null and supervisor.log, which stays empty unless
the supervisor itself fails.
"""

import gc
import os
import sys

gc.disable()  # 3 ms of the start; the keeper turns it on again
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from outlast.supervisor.keeper import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
