"""The shared core: models, logs, health, remedies, backends and stores. Imports nothing from ansible."""
