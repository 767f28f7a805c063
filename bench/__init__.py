"""One script per published number; each says what it measures, makes its own data and cleans up after itself."""
