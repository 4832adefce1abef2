"""The answer to a scrape: session series by our own renderer, all else by prometheus_client."""
