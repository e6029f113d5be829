"""What a verb of the command line does: read the job's inputs, run it, write its artefacts."""
