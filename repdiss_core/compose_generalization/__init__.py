"""From what is stored of a population to the figures of section 4: the same for the page and for the command line. Never computes."""
