"""The stages of the chain, one module each: `run(work)` reads inputs and writes files into `work.folder`."""
