"""Objects and Parquet tables in folders and buckets, and leases on them."""
