"""What an episode may use: calls, frames and image tokens, and the account of them."""
