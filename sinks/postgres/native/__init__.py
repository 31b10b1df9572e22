"""Records read by compiled code, from JSON to lines of COPY (decision 0017). Optional: without it everything works as well,
and takes longer.

`records.c` reads them; `rules` writes what it knows of the record, from schemas/; `library` compiles both and loads them;
`reader` calls them, and has what they decline read the thorough way."""
