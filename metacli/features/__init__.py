"""What may stand in front of a backbone, fitted to the images of the meta-train classes: the group `features`."""
