"""Files on disk, whoever's they are: read as what they are, locked, and replaced whole or not at all."""
