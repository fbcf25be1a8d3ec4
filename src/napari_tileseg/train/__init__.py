"""Training networks on painted labels and labelled volumes: iterators of events, reproducible, resumable.

Importing this package loads no torch.
"""
