"""The shelf of executors: one file for each way to start a run's supervisor.

The contract is `executor.py`; all of it is synchronous and called from threads.
"""
