"""Write ``docs/configuration.md`` anew from the classes that check configurations."""

from pathlib import Path

from matboard.studies.reference import page

if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
