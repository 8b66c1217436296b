"""What the example programs share: datasets, models, recipes, training, measuring and pictures."""
