"""A run in a notebook: status, metrics and the end of its log, live. `show` is the way in.

The kernel follows the run by one WebSocket (`watched`) and gives the page what has changed
(`widget`, `widget.js`); the page itself asks nobody.
"""
