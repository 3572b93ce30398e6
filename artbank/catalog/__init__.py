"""The registered banks: the Parquet table that lists them and the files that belong to each."""
