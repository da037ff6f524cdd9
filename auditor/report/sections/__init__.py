"""What each section of the page shows, prepared for its template."""
