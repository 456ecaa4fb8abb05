"""The `azureml` that a job, or a process that a script has started, finds first on its path.

In a job it lies in the kit, beside outlast/ (a copy, made by executors/kit.py); for what scripts
start themselves the folder two above is put on the path. `hook.stand_in` decides whose `azureml`
it becomes: Outlast's, or the one really installed. An interpreter that has no Outlast goes on as
if nothing stood here.
"""

import os
import sys

is_stand_in = True
_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _step_aside() -> None:
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    path = [entry for entry in sys.path if os.path.abspath(entry or ".") != _FOLDER]
    spec = PathFinder.find_spec("azureml", path)
    if spec is None:
        raise ModuleNotFoundError("No module named 'azureml'", name="azureml")
    module = sys.modules["azureml"] = module_from_spec(spec)
    if spec.loader is not None:  # without: a namespace package
        spec.loader.exec_module(module)


if __name__ == "azureml":  # not where a house test imports every file
    try:
        from outlast.azureml import hook
    except ModuleNotFoundError as error:
        if error.name != "outlast":
            raise
        _step_aside()
    else:
        hook.stand_in(_FOLDER)
