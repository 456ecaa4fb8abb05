"""Azure ML SDK v1 by its own names: scripts written for `azureml.core` run on Outlast unchanged.

`import outlast.azureml`, as the first line of a notebook or script, makes `azureml.*` importable;
`outlast exec script.py` and `python -m outlast.azureml script.py` do so before the script begins.
Which name is where stands in `names`; each file here translates one family of classes onto
`outlast` and holds no rule of its own. Standard library only, Python 3.8: it travels into jobs.
"""

from __future__ import annotations

from outlast.azureml import hook

hook.install()
