"""From what is stored of a family to the figures of section 5."""
