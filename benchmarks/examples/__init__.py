"""What the pages of docs/examples/ say was measured, one module a page, which prints tables and draws a figure."""
