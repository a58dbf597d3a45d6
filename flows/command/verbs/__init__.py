"""The verbs of the command, one module each: `run(arguments)` does it and answers the exit code."""
