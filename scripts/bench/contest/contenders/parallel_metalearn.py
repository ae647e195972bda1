"""parallel-metalearn's MAML: vmap over the tasks of a meta-batch, with its own batch norm, which vmap needs."""

import torch
from metalearn.algorithms.MAML import MAML
from metalearn.inner_optimizers import InnerSGD
from metalearn.loss import CategoricalAccuracy, CrossEntropy
from metalearn.model_wrappers import MAML_Model
from metalearn.nn_models.basic_layers.BatchNormalization import BatchNorm
from torch import Tensor, nn

from contest.network import build
from contest.tasks import flat, random_tasks
from contest.work import INNER_LR, OUTER_LR, Work


class Entry:
    def __init__(self, work: Work, device: torch.device, threads: int, dtype: torch.dtype) -> None:
        torch.set_num_threads(threads)
        tasks = random_tasks(work, device, dtype)
        labels = [
            {"labels": of_set.expand(len(tasks), -1)} for of_set in (tasks.support_labels, tasks.query_labels)
        ]
        self.batch = (tasks.support, labels[0], tasks.query, labels[1])
        network = build(work)
        with_own_batch_norm(network)
        self.model = MAML_Model(
            backbone=Deaf(network.get_submodule("backbone")), head=Deaf(network.get_submodule("head"))
        )
        self.model.to(dtype)
        self.maml = MAML(
            model=self.model,
            optimizer=torch.optim.Adam(self.model.parameters(), lr=OUTER_LR),
            inner_optimizer=InnerSGD(self.model.get_fast_weights(), inner_lr=INNER_LR, learn_lr=False),
            support_loss_fn=CrossEntropy(metric_fn=CategoricalAccuracy()),
            inner_steps=work.steps,
            device=device,
        )

    def step(self) -> None:
        self.maml.step(iter([self.batch]))

    def outcome(self) -> Tensor:
        return flat([p.grad for p in self.model.parameters() if p.grad is not None])


class Deaf(nn.Module):
    """Takes the keywords that the library passes along, and does not hear them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, **_: object) -> Tensor:
        return self.module(x)


def with_own_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, BatchNorm(child.num_features, eps=child.eps, track_running_stats=False))
        else:
            with_own_batch_norm(child)
