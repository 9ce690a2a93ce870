"""Write the JSON schemas of everything a run writes into ``docs/schema/``.

Run it from the repository's root after a change to ``matboard.results``.
"""

from __future__ import annotations

import json
from pathlib import Path

from matboard.results import json_schemas


def main() -> None:
    for kind, schema in json_schemas().items():
        text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        Path(f"docs/schema/{kind}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
