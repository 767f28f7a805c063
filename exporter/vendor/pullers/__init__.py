"""Evidence that we fetch: one module per kind of place, all behind `base.Puller`."""
