"""The network before training: converted, calibrated, frozen in parts."""
