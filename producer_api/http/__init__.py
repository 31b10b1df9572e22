"""HTTP below the routes: connections, bodies, headers, problems."""
