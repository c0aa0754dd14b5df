"""One module per command: `run(options, progress)` gives the JSON object, `as_text` the lines for people."""
