"""Sources: where Dify's rows come from, and how rows become a Trace. Read only, never called back."""
