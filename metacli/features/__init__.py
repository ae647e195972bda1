"""What may stand in front of a backbone, fitted to the images of the meta-train classes: the group `features`."""

from metacli.features.stacked import Stacked

__all__ = ["Stacked"]
