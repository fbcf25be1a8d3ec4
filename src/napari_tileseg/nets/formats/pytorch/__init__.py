"""What PyTorch writes: weights as safetensors or pickles, which run nothing, and code as TorchScript."""
