"""Numbers as the page of the lesson writes them."""

import re

RAISED = "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"


def plain(text):
    """Text with its numbers as Python writes them: "-2.06e-09" for a minus sign and a power of ten."""

    def power(match):
        return f"{match[1] or 1}e{int(match[2].translate(str.maketrans(RAISED, '-0123456789'))):+03d}"

    text = re.sub(rf"(?:([\d.]+)\u00d7)?\b10([{RAISED}]+)", power, text)
    return text.replace("\N{MINUS SIGN}", "-")


def number(text):
    """The number that a text shows."""
    return float(plain(text))
