# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run module session_info in process where that is possible."""

from __future__ import annotations

from ..modules import session_info
from ..plugin_utils.in_process import InProcessAction


class ActionModule(InProcessAction):
    module = session_info
