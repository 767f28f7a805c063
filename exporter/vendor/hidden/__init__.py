"""Hidden calls: requests that Dify makes on its own and adds to no message or run."""
