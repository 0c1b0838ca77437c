"""What DevFlow needs from the outside world: one Protocol a file, frozen values in and out."""
