"""A model as an ordered list of blocks, and a body that can start in the middle from stored activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Blocks:
    """Block 0 is the stem (embeddings), blocks 1..L the layers, block L + 1 the head.

    stem: modules that run before the layers, in order; the last puts out what the first layer reads.
    layers: blocks 1..L. layer_list: the list that the model's own forward walks through.
    top: modules of the body that run right after the layers, one tensor in and out; part of block L.
    beside: pretrained modules off the way from layer to layer, each with the block that it learns with, such as
    relative positions that every layer reads (0).
    """

    model: nn.Module
    stem: tuple[nn.Module, ...]
    layers: tuple[nn.Module, ...]
    layer_list: nn.ModuleList
    never_empty: bool = False
    """Whether the forward breaks when no layer is left (DeBERTa's)."""
    top: tuple[nn.Module, ...] = ()
    beside: tuple[tuple[int, nn.Module], ...] = ()
    cuttable: bool = True
    """Whether stored activations can stand in for the lower blocks: not where more than one tensor goes up."""

    @property
    def depth(self) -> int:
        """L, the number of layers."""
        return len(self.layers)

    def parameters(self) -> list[list[tuple[str, nn.Parameter]]]:
        """Named parameters by block, index 0..L + 1; each parameter is in exactly one block."""
        block_of: dict[int, int] = {}
        for module in self.stem:
            block_of |= {id(p): 0 for p in module.parameters()}
        for index, layer in enumerate(self.layers, start=1):
            block_of |= {id(p): index for p in layer.parameters()}
        for block, module in (*((self.depth, module) for module in self.top), *self.beside):
            block_of |= {id(p): block for p in module.parameters()}
        found: list[list[tuple[str, nn.Parameter]]] = [[] for _ in range(self.depth + 2)]
        for name, parameter in self.model.named_parameters():
            found[block_of.get(id(parameter), self.depth + 1)].append((name, parameter))
        return found

    def modules(self, block: int) -> list[nn.Module]:
        """The modules of the stem (0) or of one layer (1..L), in the order in which they run, and those beside."""
        return [*self._way(block), *(module for its_block, module in self.beside if its_block == block)]

    def _way(self, block: int) -> tuple[nn.Module, ...]:
        """The modules that a block's output goes through."""
        if block == 0:
            return self.stem
        return (self.layers[block - 1], *(self.top if block == self.depth else ()))

    def linear_layers(self) -> tuple[str, ...]:
        """Names in the model of every linear layer of blocks 1..L: what LoRA adapts."""
        inside = {id(module) for layer in self.layers for module in layer.modules()}
        named = self.model.named_modules()
        return tuple(name for name, module in named if _is_linear(module) and id(module) in inside)

    def run_until(self, depth: int, batch: Mapping[str, Tensor]) -> Tensor:
        """The output of block `depth` for a batch: (rows, positions, width), or (rows, channels, height, width).

        Later blocks do not run.
        """

        def stop(module: nn.Module, arguments: object, output: Tensor | tuple[Tensor, ...]) -> None:
            raise _Reached(output[0] if isinstance(output, tuple) else output)

        handle = self._way(depth)[-1].register_forward_hook(stop)
        try:
            self.model(**batch)
        except _Reached as reached:
            return reached.output
        finally:
            handle.remove()
        raise AssertionError(f"the forward never ran block {depth}")


class _Reached(Exception):
    def __init__(self, output: Tensor) -> None:
        self.output = output


class StoredPrefix(nn.Module):
    """Stands where the stem ended and returns stored activations, as `Blocks.run_until` gives them."""

    activations: Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self._stood_here: tuple[nn.Module, ...] = ()  # in a tuple, so that it is no part of the model

    def stand_for(self, module: nn.Module) -> None:
        self._stood_here = (module,)

    def __getattr__(self, name: str) -> Any:
        """A forward may ask the stem for more than its output, such as the dtype of its weights (ViT's does)."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "_stood_here" or not self._stood_here:
                raise
            return getattr(self._stood_here[0], name)

    def forward(self, *arguments: object, **keywords: object) -> Tensor:
        assert self.activations is not None, "a batch of stored activations must be set before the forward"
        return self.activations


class PassThrough(nn.Module):
    """Stands where a module of the top stood, when what it put out is stored."""

    def forward(self, hidden: Tensor, *arguments: object, **keywords: object) -> Tensor:
        return hidden


class PassingLayer(nn.Module):
    """Stands where layers stood in a body whose forward cannot do without any."""

    def forward(self, hidden: Tensor, *arguments: object, **keywords: object) -> tuple[Tensor, None]:
        return hidden, None


class CutModel:
    """A model whose blocks 0..depth are replaced by stored activations while `with cut:` is open.

    The replaced modules are kept aside and put back, so that the whole model can be saved and shipped. Of a stem
    of several modules (GPT-2's: words, positions, their dropout) all but the last still run, on inputs alone;
    what they put out goes nowhere.
    """

    def __init__(self, blocks: Blocks, depth: int) -> None:
        self.prefix = StoredPrefix()
        self._blocks, self._depth = blocks, depth
        self._places: list[tuple[nn.Module, str, nn.Module]] = []
        self._layer_types: list[tuple[Any, list[str]]] = []

    def __enter__(self) -> CutModel:
        del self._blocks.layer_list[: self._depth]
        if self._blocks.never_empty and not len(self._blocks.layer_list):
            self._blocks.layer_list.append(PassingLayer())
        modules = self._blocks.model.modules()
        configs: dict[int, Any] = {
            id(module.config): module.config for module in modules if hasattr(module, "config")
        }
        for config in configs.values():
            # Gemma's and Qwen's forwards look up by a layer's place whether it attends through a window
            if getattr(config, "layer_types", None):
                self._layer_types.append((config, config.layer_types))
                config.layer_types = config.layer_types[self._depth :]
        self.prefix.stand_for(self._blocks.stem[-1])
        replaced = [self._blocks.stem[-1], *(self._blocks.top if self._depth == self._blocks.depth else ())]
        for index, module in enumerate(replaced):
            parent, name = place_of(self._blocks.model, module)
            self._places.append((parent, name, module))
            parent._modules[name] = self.prefix if index == 0 else PassThrough()
        return self

    def __exit__(self, *_: object) -> None:
        del self._blocks.layer_list[:]
        self._blocks.layer_list.extend(self._blocks.layers)
        for parent, name, module in self._places:
            parent._modules[name] = module
        for config, layer_types in self._layer_types:
            config.layer_types = layer_types
        self._places, self._layer_types = [], []


def place_of(model: nn.Module, wanted: nn.Module) -> tuple[nn.Module, str]:
    """The parent of a module and its name there."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if child is wanted:
                return parent, name
    raise AssertionError("the module is not in the model")


def _is_linear(module: nn.Module) -> bool:
    """Conv1D is how transformers writes GPT-2's linear layers: the same, with the weight transposed."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def longest_layer_list(body: nn.Module) -> nn.ModuleList:
    """The longest list of like layers in a body: the one its forward walks through."""
    lists = [m for m in body.modules() if isinstance(m, nn.ModuleList) and len({type(x) for x in m}) == 1]
    return max(lists, key=len)


def others_in(body: nn.Module, known: Iterable[nn.Module]) -> tuple[nn.Module, ...]:
    """The modules of a body that hold parameters of their own and are in none of the known ones."""
    inside = {id(part) for module in known for part in module.modules()}
    return tuple(m for m in body.modules() if id(m) not in inside and any(True for _ in m.parameters(recurse=False)))


def count_parameters(model: nn.Module, learning: bool = False) -> int:
    """All parameters, or those alone that learn now."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not learning)


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the device computes it fast, else float16 on a GPU and None (float32) elsewhere."""
    if device.type == "cuda":
        # a GPU older than Ampere says yes where emulation counts, at a fraction of float16's speed
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bf16 else torch.float16
    if device.type == "cpu":
        flags = torch.backends.cpu.get_cpu_capability()
        has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return torch.bfloat16 if has_bf16 and "AVX512" in flags.upper() else None
    return None
