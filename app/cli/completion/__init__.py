"""Shell completion: candidates and the scripts that ask for them."""
