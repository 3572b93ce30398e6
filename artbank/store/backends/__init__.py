"""Access to one kind of store each: a local folder, S3, or anything that fsspec knows."""
