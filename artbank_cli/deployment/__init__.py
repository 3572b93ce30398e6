"""`artbank deploy`: work pools, automations and deployments on a Prefect server."""
