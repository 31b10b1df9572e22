"""Reading scan.records.v1 again: for the data team, for comparing, and for a database that was lost."""
