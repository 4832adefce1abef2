"""Where logs come from: files that are followed through rotation, truncation and restart."""
