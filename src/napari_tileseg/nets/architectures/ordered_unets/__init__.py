"""U-Nets whose layers follow an order that letters state, plain and residual.

These are the families that pytorch-3dunet trains, and PlantSeg and PanSeg with it (Wolny et al. 2020, eLife
9:e57613). Their weights go by the names that they have there, so that trained ones fit.
"""
