"""Values that Dify keeps outside of its database: read from its storage folder or bucket, where the settings give one."""
