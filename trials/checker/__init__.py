"""Reconciles what was acknowledged with what the system holds. Imports nothing of the pipeline, so that it errs by itself."""
