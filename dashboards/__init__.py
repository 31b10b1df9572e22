"""What operators look at: the metrics, and the page that lists them."""
