"""What is shown to people, wherever it is shown: figures, times, and how a conversation reads."""
