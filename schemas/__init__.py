"""The contract: records, messages, status, errors in both languages, and the tables. Imports nothing else of ours."""
