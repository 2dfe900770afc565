"""`python -m etastar.cli`: the command `etastar`."""

from . import main

main()
