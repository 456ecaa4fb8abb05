"""One file, one rule: `rule(evidence) -> Finding | None`; its docstring is its entry in
docs/why.md.

RANK orders the findings of one severity (the lowest first). ANSWERS = True says that the claim
tells why the run is in its state, so that it may stand in the headline; other rules add what is
worth knowing. A rule is pure: it looks at nothing but the evidence. Files are listed, not
registered.
"""
