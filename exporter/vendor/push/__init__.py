"""Evidence that others push to us: from the bytes of a request body to records, with everything hostile bounded."""
