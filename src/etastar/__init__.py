"""Plan the learning rate of a training run from a few short pilot runs."""
