"""The co-design study: points, training, measuring, report. Started by examples/codesign.py."""
