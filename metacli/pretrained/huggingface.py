"""Encoders of transformers, of images or of text, from a folder, an installed package or the hub."""

import pickle
from pathlib import Path
from typing import Any

from torch import nn

from metacli.errors import UserError
from metacli.pretrained.weights import NONE, load, located, require_numbers, said_of, ways_out

DEFAULT = "default"


def encoder(
    model: str, weights: str = DEFAULT, key: str = "backbone", **options: Any
) -> tuple[nn.Module, Path]:
    """What AutoModel makes of `model`, in eval mode, and its folder, for the tokenizer or the preprocessor.

    model: a place as in `weights.py`, whose config.json says the architecture · weights: "default", those that lie
    beside it; "none", random; or those of another place · key: settings are KEY.model and KEY.weights · options: for
    AutoModel, say add_pooling_layer. Attention is computed as it is defined, which can be differentiated twice.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = located(model, f"{key}.model")
    if folder is None or not (folder / "config.json").exists():
        raise UserError(
            f"{key}.model={model}: no config.json there, which says what network it is",
            f"use {ways_out(f'{key}.model')}",
        )
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        common = {"trust_remote_code": False, "attn_implementation": "eager", **options}
        if weights != DEFAULT:
            network = AutoModel.from_config(config, **common)
            load(network, weights, f"{key}.weights")
        else:
            network, found = AutoModel.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=any(folder.glob("*.safetensors")),
                output_loading_info=True,
                **common,
            )
            with said_of(f"{key}.model", model, folder):
                _require_whole(found, folder)
                require_numbers(network.state_dict(), folder)
    except (pickle.UnpicklingError, SafetensorError, EOFError, RuntimeError) as error:
        raise UserError(
            f"{key}.model={model}: {folder} holds no weights that can be read, which are tensors and nothing else",
            "damaged, of another network, or pickled as a whole object; save them there as model.safetensors, or "
            f"{key}.weights={NONE} for random ones",
        ) from error
    except (OSError, ValueError, KeyError) as error:
        why = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{key}.model={model}: transformers cannot load it ({why})",
            f"models that need code of their own are not run; {key}.weights={NONE} for random weights",
        ) from error
    return network.float().eval(), folder


def _require_whole(found: dict[str, Any], folder: Path) -> None:
    """All weights but those of a pooling layer, which is often not trained, came from the files."""
    lost = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if lost:
        raise UserError(
            f"{folder}: weights of another network: {len(lost)} tensors are not there, the first is {lost[0]}",
            "choose another model",
        )
