"""`scanline bench`: what the pipeline does, next to what the database could do in the same run."""
