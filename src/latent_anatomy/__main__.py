"""`python -m latent_anatomy`, the same as the command `latent-anatomy`."""

from latent_anatomy.cli.main import main

main()
