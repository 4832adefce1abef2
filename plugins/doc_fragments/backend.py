# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragments: which backend, which session."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  backend:
    description:
      - What must be known of the backend. It has the shape of the inventory variable C(whatsapp_backend).
      - What is not given has the default that C(docs/backends.md) names.
    type: dict
    default: {}
    suboptions:
      kind:
        description: Kind of the backend, such as V(whaticket).
        type: str
      url:
        description: Base URL of its REST API, as seen from the host where the module runs.
        type: str
      auth:
        description: How to log in.
        type: dict
        suboptions:
          type:
            description: No login, a fixed token, or a token got with user name and password.
            type: str
            choices: [none, bearer, login]
          username:
            description: User name (Whaticket takes an e-mail address here); the user must be an administrator.
            type: str
          password:
            description: Password of the user.
            type: str
          token:
            description: The fixed token.
            type: str
          login_path:
            description: Path of the login route.
            type: str
      routes:
        description: Routes that differ from the kind's own, C(name) to C(METHOD /path).
        type: dict
      states:
        description: State words that differ from the kind's own, word to connection state.
        type: dict
      session_path:
        description: Folder under which each session has its folder. E(SESSION_STORAGE_PATH) when not given.
        type: str
      session_folder:
        description: Name of a session's folder, with C({id}) in it.
        type: str
      redis_url:
        description: Redis in which the backend keeps sessions or caches.
        type: str
      redis_prefixes:
        description: Prefixes of the Redis keys of one session, with C({id}) between separators.
        type: list
        elements: str
      cache_prefixes:
        description: Prefixes of the Redis keys of one session's message and chat caches.
        type: list
        elements: str
      cache_path:
        description: Folder of caches. E(CACHE_PATH) when not given.
        type: str
      database_url:
        description: SQLAlchemy URL of the database with the credentials table. E(DATABASE_URL) when not given.
        type: str
      credentials_table:
        description: Names in that database.
        type: dict
        suboptions:
          name:
            description: Table.
            type: str
          id_column:
            description: Column with the session id.
            type: str
          creds_column:
            description: Column with the credentials as JSON.
            type: str
          status_column:
            description: Column with the status.
            type: str
          last_connected_column:
            description: Column with the time of the last connection.
            type: str
      backup_path:
        description: Folder for backups.
        type: str
      log_sources:
        description: Log files of the backend.
        type: list
        elements: dict
        suboptions:
          path:
            description: Path of the file.
            type: str
            required: true
          stream:
            description: What is written to it.
            type: str
            choices: [stdout, stderr, merged]
          session:
            description: Set when the whole file belongs to one session.
            type: str
      error_patterns:
        description: Texts that mark an error, beyond the known ones.
        type: list
        elements: dict
        suboptions:
          literal:
            description: The text.
            type: str
            required: true
          kind:
            description: Kind of the error.
            type: str
          benign:
            description: Whether it also happens in healthy sessions.
            type: bool
      session_fields:
        description: Names under which log lines carry the session id.
        type: list
        elements: str
      self_recovery_seconds:
        description: How long the backend's own recovery is waited for, in seconds.
        type: float
      allow_relink:
        description: Whether automatic repairs may end in a QR code.
        type: bool
      connect_timeout:
        description: Seconds until a connection attempt is given up.
        type: float
      read_timeout:
        description: Seconds until an answer is given up.
        type: float
  backend_name:
    description: Name of the backend, as in metrics, locks and records.
    type: str
    default: default
"""

    SESSION = r"""
options:
  session:
    description: Id of the session, at most 128 letters, digits, C(.), C(_), C(@) and C(-).
    type: str
    required: true
"""
