"""From YAML and the command line to a checked experiment. Nothing here imports torch."""
