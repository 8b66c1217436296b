"""One self-contained HTML page about a converted model."""
