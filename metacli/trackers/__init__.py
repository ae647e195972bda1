"""Where runs are followed and compared, beside their own folders. One tracker a file; none changes a result."""
