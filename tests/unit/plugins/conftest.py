"""Plugins are imported under the collection's name, as Ansible does."""

from __future__ import annotations

import sys

from tests.playbooks import ROOT, link_collection

link_collection()
sys.path.insert(0, str(ROOT / ".ansible/collections"))
