"""Where sessions keep their state: files, Redis keys, the credentials table."""
