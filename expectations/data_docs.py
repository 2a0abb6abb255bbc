"""Where a gate's page is kept and read. Put here: paths and links of Data Docs. Keep out: making the pages (gate.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataDocs:
    """A folder of pages, and the address people read them at."""

    path: Path
    base_url: str

    def link(self, page: str) -> str:
        """The address of a page, given its path below the folder."""
        return f"{self.base_url.rstrip('/')}/{page}"

    def write(self, page: str, content: str) -> str:
        """Keep a page that is complete in itself; its address."""
        target = self.path / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        return self.link(page)
