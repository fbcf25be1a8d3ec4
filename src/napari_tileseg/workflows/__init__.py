"""What shell and viewer both drive: fine-tuning, and training from scratch."""
