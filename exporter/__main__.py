"""`python -m exporter` is the same as `dify-exporter`."""

from exporter.cli import main

main()
