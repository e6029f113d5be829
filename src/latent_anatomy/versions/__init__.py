"""Two versions of the project side by side, on one HTML page: docs/compare.md."""
