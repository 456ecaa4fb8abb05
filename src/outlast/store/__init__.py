"""The index: what the journals say, in SQL, so that it can be listed, sorted and searched.

Synchronous. Deleting the database loses nothing that the folders hold. Start at database.py.
"""
