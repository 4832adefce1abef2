"""One adapter a backend kind."""
