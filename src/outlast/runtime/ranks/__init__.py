"""A distributed run: its command started once for each rank, on one machine.

`words` says what each rank is told, `lines` joins what they print, `starting` holds them together.
The supervisor starts `__main__.py` of this folder in the place of the command.
"""
