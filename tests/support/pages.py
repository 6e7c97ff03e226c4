"""Parts of the documentation's pages."""


def section(text, title):
    """The text of a section of a page."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table(text, title):
    """The cells of the table in a section, without the head of the table."""
    lines = [line for line in section(text, title).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
