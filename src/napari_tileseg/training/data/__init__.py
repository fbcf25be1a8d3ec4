"""Images and labels that a network is trained on, and patches of them."""
