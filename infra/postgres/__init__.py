"""PostgreSQL: the cluster as a child process, its roles, its migrations."""
