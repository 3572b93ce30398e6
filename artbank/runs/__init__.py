"""Forecasts, costs, outcomes and alarms of runs."""
