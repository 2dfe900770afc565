"""The commands, such as `etastar plan`: one file each."""

from ._app import main

__all__ = ["main"]
