"""How fast things are on this machine. What is measured here is for docs/speed.md, and in no artefact."""
