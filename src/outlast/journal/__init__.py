"""Append-only files with byte offsets: written by one, followed by many.

A journal holds bytes (what a job printed) or records (JSON Lines with a checksum). Everything in
this folder is synchronous, runs on Python 3.8 and needs the standard library only; FORMATS.md has
the bytes. Write with `writer.Writer`, read with `cursor.Cursor`, be woken by `watch.Watcher`, give
room back with `trim.trim`; `line` is the format itself. `python -m outlast.journal` shows a folder.
"""
