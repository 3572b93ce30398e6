"""The output dataset in a store: manifests, parts, tables, containers and their verification. Knows no model."""
