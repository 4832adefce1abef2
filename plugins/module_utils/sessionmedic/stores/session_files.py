"""Auth state as files: one folder a session, as Baileys' useMultiFileAuthState and its forks keep it."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config import BackendConfig
from ..errors import StoreError
from ..names import check_name
from . import auth_names, safe_files
from .safe_files import Attributes

_MODE = 0o600
# A write of Baileys takes milliseconds; a file that is really broken costs half a second.
_READINGS = 5
_BETWEEN_READINGS = 0.1


class SessionFiles:
    """The folder of one session: ``<session_path>/<session_folder with the id>``.

    Nothing is followed out of it: the folder itself and every file in it must be the thing, not a link to one.
    ``session_path`` is the operator's and may be reached over links.

    :raises InvalidName: the session id is no safe name.
    """

    def __init__(self, config: BackendConfig, session: str) -> None:
        self._session = check_name(session)
        self._root = Path(config.session_path).expanduser().absolute() if config.session_path else None
        self._name = config.session_folder.replace("{id}", self._session)

    @property
    def folder(self) -> Path:
        """Path of the folder.

        :raises StoreError: ``session_path`` is not set, the folder is missing, is a link, no folder or unreadable.
        """
        with self.opened():
            return self._place()

    def _place(self) -> Path:
        if self._root is None:
            raise StoreError(
                f"session_path is not set, so the files of session {self._session} cannot be found.",
                "Set session_path of the backend.",
            )
        return self._root / self._name

    def exists(self) -> bool:
        """Whether the session has a folder. :raises StoreError: it has something else there."""
        if self._root is None or not os.path.lexists(self._place()):
            return False
        with self.opened():
            return True

    @contextmanager
    def opened(self, write: bool = False) -> Iterator[int]:
        """Descriptor of the folder.

        :param write: the caller adds or removes names.
        :raises StoreError: see ``folder``; and, with ``write``, the folder cannot be written in.
        """
        place = self._place()
        with _root(place.parent) as root, self._folder(root, place) as folder:
            if write and not safe_files.writable(folder):
                raise StoreError(
                    f"The folder {place} is not writable.",
                    "Check its owner, its mode and its mount; nothing was changed.",
                )
            yield folder

    @contextmanager
    def _folder(self, root: int, place: Path) -> Iterator[int]:
        try:
            descriptor = os.open(self._name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
        except FileNotFoundError:
            raise StoreError(
                f"The folder {place} of session {self._session} is missing.", "Check session_path and session_folder."
            ) from None
        except OSError as error:
            raise self._not_a_folder(root, place, error) from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _not_a_folder(self, root: int, place: Path, error: OSError) -> StoreError:
        try:
            linked = stat.S_ISLNK(os.stat(self._name, dir_fd=root, follow_symlinks=False).st_mode)
        except OSError:
            linked = False
        if linked:
            inside = Path(os.path.realpath(place)).is_relative_to(os.path.realpath(place.parent))
            leads = "to another folder" if inside else "out of the storage path"
            return StoreError(f"The folder {place} is a link that leads {leads}.", "Put the real folder in its place.")
        if isinstance(error, NotADirectoryError):
            return StoreError(f"{place} is not a folder.", "Check session_path and session_folder.")
        return _failed("read", place, error)

    def create_folder(self, attributes: Attributes | None = None) -> Path:
        """Make the folder when it is missing: mode 0700 and the owner of ``session_path``, unless told."""
        place = self._place()
        if not self.exists():
            with _root(place.parent) as root:
                try:
                    owner = os.fstat(root)
                    wanted = attributes or Attributes(0o700, owner.st_uid, owner.st_gid)
                    os.mkdir(self._name, 0o700, dir_fd=root)
                    with safe_files.opened_folder(self._name, dir_fd=root) as folder:
                        if (wanted.uid, wanted.gid) != (os.geteuid(), os.getegid()):
                            os.fchown(folder, wanted.uid, wanted.gid)
                        os.fchmod(folder, wanted.mode)
                except OSError as error:
                    raise _failed("made", place, error) from None
        return self.folder

    def names(self) -> list[str]:
        """Names of the auth-state files, sorted; other files of the folder are not ours. :raises StoreError:"""
        with self.opened() as folder:
            return self.names_in(folder)

    def names_in(self, folder: int) -> list[str]:
        """The same of a descriptor that ``opened`` gave."""
        try:
            return sorted(name for name in os.listdir(folder) if auth_names.parse_file(name))
        except OSError as error:
            raise _failed("read", self._place(), error) from None

    def select(self, level: str, peers: Iterable[str] | None = None) -> list[str]:
        """Names that ``purge`` would remove, sorted.

        :param peers: confine level ``keys`` to these peers: addresses, users or JIDs. None or empty: all peers.
        :raises StoreError: also when one of the names is a link or a folder.
        """
        with self.opened() as folder:
            return self._select(folder, level, peers)

    def _select(self, folder: int, level: str, peers: Iterable[str] | None) -> list[str]:
        wanted = tuple(peers or ())
        auth_names.check_purge(level, wanted)
        records = {name: auth_names.parse_file(name) for name in self.names_in(folder)}
        only = auth_names.resolve_peers(wanted, lambda record: self._record(folder, record)) if wanted else None
        chosen = [name for name, record in records.items() if record and auth_names.selected(record, level, only)]
        for name in chosen:
            safe_files.stat_regular(folder, name)
        return chosen

    def _record(self, folder: int, name: str) -> bytes | None:
        for file in (f"{name}.json", auth_names.hashed(name)):
            try:
                return safe_files.read(folder, file)[0]
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _failed("read", self._place() / file, error) from None
        return None

    def purge(self, level: str, peers: Iterable[str] | None = None) -> list[str]:
        """Remove what ``select`` names and return what was removed; the folder and unknown files stay.

        :raises StoreError: before anything is removed: the folder is not writable, or one of the names is no file.
        """
        with self.opened(write=True) as folder:
            removed = []
            for name in self._select(folder, level, peers):
                try:
                    os.unlink(name, dir_fd=folder)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise _failed("removed", self._place() / name, error) from None
                removed.append(name)
            if removed:
                os.fsync(folder)
        return removed

    def creds_name(self) -> str:
        """The name of the file with the credentials: the one that is there, else in the form of its neighbours."""
        with self.opened() as folder:
            return self._creds_name(folder)

    def _creds_name(self, folder: int) -> str:
        names = self.names_in(folder)
        plain, hashed = "creds.json", auth_names.hashed(auth_names.CREDS)
        if (plain in names) != (hashed in names):
            return plain if plain in names else hashed
        return hashed if any(auth_names.is_hashed(name) for name in names if name != hashed) else plain

    def read_creds(self) -> bytes | None:
        """The credentials as they are, None when there is no such file. :raises StoreError: unreadable, or a link.

        Baileys writes the file in place, so a reader may meet it empty or half written: what does not parse is read
        again for a moment, and returned as it is when it stays so.
        """
        for _ in range(_READINGS):
            data = self._read_creds_once()
            if data is None or _is_json(data):
                break
            time.sleep(_BETWEEN_READINGS)
        return data

    def _read_creds_once(self) -> bytes | None:
        with self.opened() as folder:
            name = self._creds_name(folder)
            try:
                return safe_files.read(folder, name)[0]
            except FileNotFoundError:
                return None
            except OSError as error:
                raise _failed("read", self._place() / name, error) from None

    def write_creds(self, data: bytes, create: bool = False) -> None:
        """Replace the credentials at once: mode 0600, the owner of the old file, else of the folder.

        :param create: make the folder when it is missing.
        :raises StoreError: it cannot be written; the old file is as it was.
        """
        if create:
            self.create_folder()
        with self.opened(write=True) as folder:
            safe_files.discard_leftovers(folder)
            name = self._creds_name(folder)
            try:
                try:
                    owner = safe_files.stat_regular(folder, name)
                except FileNotFoundError:
                    owner = os.fstat(folder)
                staged = safe_files.stage(folder, data, Attributes(_MODE, owner.st_uid, owner.st_gid))
                try:
                    safe_files.commit(folder, staged, name)
                except BaseException:
                    safe_files.discard(folder, staged)
                    raise
                os.fsync(folder)
            except OSError as error:
                raise _failed("written", self._place() / name, error) from None


@contextmanager
def _root(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StoreError(f"session_path {path} is missing.", "Correct session_path of the backend.") from None
    except OSError as error:
        raise _failed("read", path, error) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _failed(what: str, path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be {what} ({error.strerror}).", "Check its owner, its mode and the free space.")
