"""The vocabulary that instrumentors and processor share; it imports nothing of theirs."""
