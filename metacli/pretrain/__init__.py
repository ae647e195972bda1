"""Stages before meta-training that train the backbone on whole classes: the group `pretrain`."""
