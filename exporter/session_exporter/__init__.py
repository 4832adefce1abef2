"""session-exporter: per-session Prometheus metrics from logs, REST APIs and memory."""
