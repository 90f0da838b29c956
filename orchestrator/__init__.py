"""The owner of every task: it decides, publishes, settles and ends."""
