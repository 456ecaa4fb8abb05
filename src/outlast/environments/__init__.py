"""Environments: what a command runs in, built once and kept by what is in them.

A shelf: `environment` is the contract, `venv`, `conda` and `existing` are the kinds; `cache` knows
where they lie, `build` makes one. Standard library only: this travels to the node, where a run's
supervisor starts `__main__` before the command. Building blocks; nothing here knows a server.
"""
