"""What a user chose as a network: a folder, a zip file or one file, as members that are read with limits."""
