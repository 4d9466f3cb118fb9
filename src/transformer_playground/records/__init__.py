"""Published results by data set, with runs of one's own placed beside them."""
