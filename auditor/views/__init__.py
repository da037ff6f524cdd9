"""What the report shows of a result, as text and pictures, a module per part of the page."""
