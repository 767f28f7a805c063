"""Dify's storage as a folder: files laid out by key, as its default storage (opendal, scheme fs) and `local` write them.

Never leaves the folder, also not through a symbolic link.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporter.errors import SourceRefused, Unreachable
from exporter.sources.storage.store import NoValue, checked_key, too_large

_ALWAYS_THERE = "upload_files"
"""Every value lies below it: a folder without it is not Dify's, or not mounted."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A `Store`."""

    root: Path
    most_bytes: int

    @property
    def where(self) -> str:
        """The folder."""
        return f"folder {self.root}"

    def read(self, key: str) -> bytes:
        """A whole file."""
        try:
            root = self.root.resolve()
            if not (root / _ALWAYS_THERE).is_dir():
                raise Unreachable(
                    f"reading a long value of Dify's: {self.root} holds no folder {_ALWAYS_THERE}",
                    "is Dify's storage mounted there? dify.storage.path names what is /app/api/storage in Dify's containers",
                )
            path = (root / checked_key(key)).resolve()
            if not path.is_relative_to(root):
                raise NoValue("its file lies outside of Dify's storage")
            with path.open("rb") as file:
                data = file.read(self.most_bytes + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NoValue("it is not in Dify's storage any more") from None
        except PermissionError:
            raise SourceRefused(
                f"reading a long value of Dify's: no right to read below {self.root}",
                "give this process's user the right to read Dify's storage (dify.storage.path)",
            ) from None
        except OSError as error:
            raise Unreachable(
                f"reading a long value of Dify's: {self.root} fails ({type(error).__name__})",
                "it is tried again by itself",
            ) from None
        if len(data) > self.most_bytes:
            raise too_large(self.most_bytes)
        return data
