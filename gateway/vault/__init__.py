"""What must stay secret or keep strangers out: provider keys at rest, encrypted; client keys, hashed; limits per key."""
