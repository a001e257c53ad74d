"""Who may read and change: the holder of a token, a user who has signed in, or everybody who reaches the address."""
