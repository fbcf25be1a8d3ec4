"""What drives long work for the shell: progress, signals, memory."""
