"""Where rows end. May import schemas, nothing else of ours."""
