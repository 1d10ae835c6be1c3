"""What the screens are made of. Every state is told by letters and marks; colour only underlines it."""
