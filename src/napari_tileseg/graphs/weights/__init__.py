"""What a network holds, and what it computes from that alone."""
