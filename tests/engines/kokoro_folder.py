"""Model folders for tests and benchmarks: Kokoro's architecture with random weights, true or as narrow as can be.

Some widths are fixed in the package's code (a trunk of 1,024 channels, 512 into the generator, styles of 128); what can
be narrowed is. Speech is about two and a half frames a phoneme, so that speeds from 0.5 to 2 can be told apart.
"""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path
from typing import Any

from voicewire.engines.kokoro_quiet import quiet

VOCABULARY = (
    ';:,.!?—…"()“” \u0303ʣʥʦʨᵝꭧAIOQSTWYᵊabcdefhijklmnopqrstuvwxyz'
    "ɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊʋʌɣɤχʎʒʔˈˌːʰʲ↓→↗↘ᵻ"
)
VOICES = ("af_heart", "af_bella", "af_sky", "bm_george", "ef_dora", "ff_siwis", "hf_alpha", "if_sara", "jf_alpha",
    "pf_dora", "zf_xiaobei")  # fmt: skip
FRAMES_PER_PHONEME = 2.5

NARROW: dict[str, Any] = {
    "vocab": {symbol: nth for nth, symbol in enumerate(VOCABULARY, 1)},
    "n_token": 178,
    "hidden_dim": 512,
    "style_dim": 128,
    "n_layer": 1,
    "max_dur": 50,
    "n_mels": 80,
    "dropout": 0.2,
    "text_encoder_kernel_size": 5,
    "dim_in": 64,
    "max_conv_dim": 512,
    "plbert": {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 512,
        "num_hidden_layers": 1,
        "embedding_size": 16,
    },
    "istftnet": {
        "upsample_rates": [2, 2, 3, 5],
        "upsample_kernel_sizes": [4, 4, 5, 9],
        "upsample_initial_channel": 512,
        "resblock_kernel_sizes": [1],
        "resblock_dilation_sizes": [[1, 3, 5]],
        "gen_istft_n_fft": 20,
        "gen_istft_hop_size": 5,
    },
}
TRUE: dict[str, Any] = NARROW | {
    "n_layer": 3,
    "plbert": {
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 2048,
        "max_position_embeddings": 512,
        "num_hidden_layers": 12,
    },
    "istftnet": {
        "upsample_rates": [10, 6],
        "upsample_kernel_sizes": [20, 12],
        "upsample_initial_channel": 512,
        "resblock_kernel_sizes": [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5]] * 3,
        "gen_istft_n_fft": 20,
        "gen_istft_hop_size": 5,
    },
}


def make_folder(path: Path, config: dict[str, Any] = NARROW) -> Path:
    """Write a folder laid out like the published one and return it."""
    import torch

    torch.manual_seed(0)
    (path / "voices").mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    torch.save(_weights(make_network(config)), path / "kokoro-v1_0.pth")
    for nth, voice in enumerate(VOICES):
        generator = torch.Generator().manual_seed(nth)
        torch.save(torch.randn(510, 1, 256, generator=generator) * 0.15, path / "voices" / f"{voice}.pt")
    return path


def make_network(config: dict[str, Any] = NARROW) -> Any:
    """The package's own model, random, speaking at the rate of people."""
    import torch

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    with quiet():
        from kokoro import KModel

        return _tuned(KModel(repo_id="hexgrad/Kokoro-82M", config=config, model=empty).eval(), config["max_dur"])


def _tuned(network: Any, bins: int) -> Any:
    import torch

    rhythm = network.predictor.duration_proj.linear_layer
    with torch.no_grad():
        rhythm.weight.copy_(rhythm.weight[:1] * 3)  # alike, so that the chances of 50 bins do not cancel out
        share = FRAMES_PER_PHONEME / bins
        rhythm.bias.fill_(math.log(share / (1 - share)))
        network.predictor.F0_proj.bias.fill_(120.0)  # a voice, in Hz: the source is voiced
    return network


def _weights(network: Any) -> dict[str, dict[str, Any]]:
    """Name and leave out what the published file does: saved in parallel, instance norms without scale."""
    parts: dict[str, dict[str, Any]] = {}
    for name, tensor in network.state_dict().items():
        part, rest = name.split(".", 1)
        if not re.search(r"(norm[12]|adain[12]\.\d)\.norm\.", name):
            parts.setdefault(part, {})[f"module.{rest}"] = tensor
    return parts
