"""The Prefect flows and tasks, under the only name by which code imports them.

`flows`, `tasks` and `deployments` here are links to the folders of the same names at the top of the repository. In the
wheel they are folders. So a project with a package `flows` or `tasks` of its own can install artbank, and a flow has
the same name in a checkout, in a wheel, on a Prefect worker and on a Dask worker.
"""
