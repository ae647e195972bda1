"""Accuracies on Omniglot that papers print, in percent, and how sure we are of them."""

from dataclasses import dataclass

CELLS = ("5w1s", "5w5s", "20w1s", "20w5s")


@dataclass(frozen=True)
class Published:
    """figures: of CELLS, empty where there is none · read: from a table or a README; else they are from memory."""

    name: str
    figures: tuple[str, str, str, str] = ("", "", "", "")
    read: bool = True
    note: str = ""

    def figure(self, cell: str) -> str:
        """Empty where there is none."""
        found = self.figures[CELLS.index(cell)]
        return found if self.read or not found else f"{found} (memory)"


PUBLISHED = {
    "protonet": Published("ProtoNet", ("98.8", "99.7", "96.0", "98.9")),
    "r2d2": Published("R2-D2", ("98.91", "99.74", "96.24", "99.20"), read=False),
    "matchingnet": Published("Matching networks", ("98.1", "98.9", "93.8", "98.5")),
    "relationnet": Published(
        "RelationNet", ("99.6 ± 0.2", "99.8 ± 0.1", "97.6 ± 0.2", "99.1 ± 0.1"), read=False
    ),
    "gnn": Published("Few-shot GNN", ("99.2", "99.7", "97.4", "99.0"), read=False),
    "tpn": Published("TPN"),
    "maml": Published("MAML", ("98.7 ± 0.4", "99.9 ± 0.1", "95.8 ± 0.3", "98.9 ± 0.2")),
    "fomaml": Published(
        "FOMAML",
        ("98.3 ± 0.5", "99.2 ± 0.2", "89.4 ± 0.5", "97.9 ± 0.1"),
        note="as re-run by Reptile's authors",
    ),
    "anil": Published("ANIL", ("", "", "96.2 ± 0.5", "98.0 ± 0.3"), read=False),
    "meta_sgd": Published("Meta-SGD", ("99.53", "99.93", "95.93", "98.97"), read=False),
    "maml_pp": Published("MAML++", ("99.47", "99.85", "97.65", "99.33"), note="an ensemble of five models"),
    "imaml": Published("iMAML", ("99.16", "99.67", "94.46", "98.69"), read=False, note="by gradient descent"),
    "alfa": Published("ALFA"),
    "reptile": Published("Reptile", ("97.68", "99.48", "89.43", "97.12"), note="transductive"),
    "simpleshot": Published("SimpleShot"),
    "baseline": Published("Baseline"),
    "baseline_pp": Published("Baseline++"),
    "meta_baseline": Published("Meta-Baseline"),
    "label_propagation": Published("label propagation on pretrained features"),
    "nearest_centroid": Published(
        "nearest centroid, pixels",
        ("41.7", "63.2", "26.7", "42.6"),
        read=False,
        note="nearest neighbour by cosine",
    ),
}
