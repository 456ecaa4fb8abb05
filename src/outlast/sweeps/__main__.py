"""`python -m outlast.sweeps -- COMMAND...`: lead the sweep whose run this process belongs to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from outlast.errors import OutlastError
from outlast.run.folder import SPEC
from outlast.run.spec import RunSpec
from outlast.runtime import get_context
from outlast.sweeps.driver import Driver
from outlast.sweeps.plan import PARAMETER, checked


def main() -> int:
    run = get_context(allow_offline=False)
    spec = RunSpec.from_dict(json.loads(Path(run.folder, SPEC).read_text()))
    command = sys.argv[sys.argv.index("--") + 1 :]
    try:
        failure = Driver(run, spec, checked(spec.parameters[PARAMETER]), command).drive()
    except OutlastError as error:
        failure = error.message
    if failure:
        print(f"the sweep failed: {failure}", file=sys.stderr)
        run.fail(failure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
