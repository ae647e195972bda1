"""Fine-tuning of a layer that tags words, on each support set: the baseline that few-shot taggers are held against.

Logits are τ·(w·h/‖h‖ + b). The layer begins at the mean unit state of each tag's words, and AdamW takes full-batch
steps on the support set. In Ding et al., "Few-NERD", ACL 2021, and elsewhere the encoder is fine-tuned with it; here
it stays as it is, or as pretrain=tagger left it, so that an episode costs milliseconds. The beginning is ours, too.

    metacli train dataset=crossner paradigm=token_finetune
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.tokens import tag_means
from metacli.layers.words import word_states
from metacli.learner import Learner
from metacli.objectives import ABSENT, word_cross_entropy


class TokenFinetune(Learner):
    """State of a predictor: `weight` [T, K, H], `bias` [T, K], `absent` [T, K] bool: tags that no word has."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        scale: float,
        finetune_steps: int,
        finetune_lr: float,
        finetune_weight_decay: float,
        bn_mode: Literal["running"],
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone.requires_grad_(False)
        self.scale = scale
        self.steps = finetune_steps
        self.descent: dict[str, Any] = {"lr": finetune_lr, "weight_decay": finetune_weight_decay}

    def adapt(self, support: Examples) -> Predictor:
        with torch.no_grad():
            states = self._states(support.inputs)
            means, present = tag_means(states, support, self.spec.tags(support.ways))
        weight, bias = means.clone().requires_grad_(), means.new_zeros(means.shape[:2]).requires_grad_()
        state = {"weight": weight, "bias": bias, "absent": ~present}
        optimizer = torch.optim.AdamW([weight, bias], **self.descent)
        with torch.enable_grad():
            for _ in range(self.steps):
                loss = word_cross_entropy(
                    self._logits(state, states), support
                ).sum()  # a task moves its own alone
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return Predictor(self._answer, {name: tensor.detach() for name, tensor in state.items()})

    def _answer(self, state: State, inputs: Inputs) -> Tensor:
        return self._logits(state, self._states(inputs))

    def _states(self, inputs: Inputs) -> Tensor:
        return F.normalize(word_states(self.backbone, inputs), dim=-1)  # [T, N, L, H]

    def _logits(self, state: State, states: Tensor) -> Tensor:
        """[T, N, L, H] -> [T, N, L, K]"""
        flat = states.flatten(1, 2) @ state["weight"].transpose(1, 2) + state["bias"].unsqueeze(1)
        logits = self.scale * flat.unflatten(1, states.shape[1:3])
        return logits.masked_fill(state["absent"][:, None, None], ABSENT)
