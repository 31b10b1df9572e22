"""`scanline demo`: real scans and a hundred tenants through the whole system, and every record accounted for."""
