"""alert-webhook and alert-worker: take alerts, run the playbook, keep the record."""
