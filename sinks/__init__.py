"""Where rows end."""
