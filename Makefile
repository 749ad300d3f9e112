# One-line wrappers: everything works without make, too. Flags go into ARGS, such as make demo ARGS=--script
PYTHON ?= python3
ARGS ?=

.PHONY: demo test run bench check audit test-nodes pictures
demo:
	$(PYTHON) bot.py demo $(ARGS)
test:
	$(PYTHON) bot.py test $(ARGS)
run:
	$(PYTHON) bot.py $(ARGS)
bench:
	$(PYTHON) bot.py bench $(if $(ONLY),--only $(ONLY)) $(ARGS)
check:
	$(PYTHON) bot.py lint $(ARGS)
audit:
	$(PYTHON) bot.py lint audit $(ARGS)
test-nodes:
	$(PYTHON) bot.py test-nodes $(ARGS)
pictures:
	$(PYTHON) bot.py pictures $(ARGS)
