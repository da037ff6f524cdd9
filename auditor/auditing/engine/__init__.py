"""An audit spread over workers: units of work, who hands them out, and who does them."""
