"""Write every generated document into the tree: `make docs`, or `python -m docs.generate`."""

from docs.generate.pages import ROOT, documents


def main() -> None:
    """Write each document whose text has changed, and name it."""
    for path, text in documents().items():
        target = ROOT / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
