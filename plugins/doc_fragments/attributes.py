# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragments: what modules support."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what would change without changing anything.
  diff_mode:
    description: Says in diff mode what has changed, or would; names only, never contents.
  idempotent:
    description: A second run right after the first changes nothing.
  action_group:
    description: Use C(group/sessionmedic.whatsapp.session) in C(module_defaults) to set the shared options once.
    support: full
    membership:
      - sessionmedic.whatsapp.session
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - Changes nothing.
  diff_mode:
    support: N/A
    details:
      - Changes nothing.
  idempotent:
    support: full
    details:
      - Changes nothing.
"""
