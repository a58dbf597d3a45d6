"""The verbs of the command, one module each: its docstring is the help, `VERB` the declaration."""
