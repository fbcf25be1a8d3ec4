"""Networks given to other programs: as one file of several formats, or as a package of bioimage.io."""
