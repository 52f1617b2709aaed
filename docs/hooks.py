"""What MkDocs does besides its own, as mkdocs.yml asks for it.

README.md is the site's first page. What pages link to outside of docs/ becomes part of the site, which is flat: `docs/start.md`
of the README and `../CHANGELOG.md` of a page lie side by side in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "index.md",
    **{
        name: name
        for name in ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "examples/test_every_input.py", "examples/test_memory.py")
    },
}
LOADED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages and files that lie outside of docs/."""
    for name, place in OUTSIDE.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links as they are on a flat site."""
    return re.sub(r"(\]\(|\]: |src=\")(?:\.\./|docs/)", r"\1", markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuses a page that a browser cannot show without a network."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads {found[1]}: put a copy into docs/")
    return output
