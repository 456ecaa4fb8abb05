# Forwards to ./x, for those whose hands type make.
.PHONY: demo test check bench
demo test check bench:
	./x $@
