"""The one version of the collection and its services."""

__version__ = "0.1.0"
