"""Datasets: find, read, hash and bring the files that a definition names. Synchronous.

Standard library only, and in each job's kit: what pandas, pyarrow or fsspec do is asked of them by
name when it is needed, with an error that names the remedy where they are missing.
"""
