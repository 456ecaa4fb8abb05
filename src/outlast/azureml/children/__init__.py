"""A folder for the search path of processes that a script starts: there they find `azureml`."""
