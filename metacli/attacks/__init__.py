"""Attacks: perturbed inputs that raise a loss, to train on and to withstand; one a file."""
