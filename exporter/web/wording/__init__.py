"""Every word of the pages, one module a language: the same keys in each. `language` picks and fills them in."""
