"""Parameters of a model by name: choosing them, drawing them afresh, copying them between models.

The starts, and anything else that rewrites weights in place, stand on these few functions. They agree
on four points: a parameter that several modules share is one parameter; what cannot be rewritten
soundly (integer, quantized, sharded or not yet allocated tensors) is refused by name; everything is
checked before the first write; random numbers come from the generator given, or from the global state
when there is none, never from both.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headstart.errors import InputError
from headstart.nn.streams import seeded

__all__ = [
    "Fresh",
    "Include",
    "buffer_pairs",
    "check_same_architecture",
    "clear_grads",
    "clone",
    "copy_pairs_",
    "drawing_from",
    "first_names",
    "fresh_copy",
    "inherit_",
    "leading_copy",
    "reset_pairs",
    "unique_parameters",
]

Include = Callable[[str], bool]
"""Says for a dotted name, as ``named_parameters()`` writes it, whether it takes part."""

Fresh = nn.Module | Callable[[], nn.Module] | None
"""A freshly built model, something that builds one, or None: reset a copy of the model at hand."""

Pairs = list[tuple[Tensor, Tensor]]


def first_names(model: nn.Module) -> dict[str, str]:
    """Every parameter name of the model, mapped to the first name of the same tensor."""
    first: dict[object, str] = {}
    return {
        name: first.setdefault(_identity(param), name)
        for name, param in model.named_parameters(remove_duplicate=False)
    }


def unique_parameters(model: nn.Module, include: Include | None = None) -> dict[str, nn.Parameter]:
    """Parameters that can be rewritten in place, each tensor once, under its first name.

    A shared (tied) tensor takes part only if ``include`` holds for every name it has, so that leaving
    the embedding out also leaves out the head tied to it.

    Args:
        model: any module.
        include: predicate on names; None takes all.

    Returns:
        Name to parameter, in the order of ``model.named_parameters()``; never empty.

    Raises:
        InputError: a chosen parameter is integer, complex, quantized, 8-bit, sharded, lazy or on the
            meta device, or none is chosen.
    """
    first = first_names(model)
    left_out = {first[name] for name in first if include is not None and not include(name)}
    params = {name: param for name, param in model.named_parameters() if first[name] == name}
    count = len(params)
    params = {name: param for name, param in params.items() if name not in left_out}
    for name, param in params.items():
        _refuse_unreadable(name, param)
        _refuse_dtype(name, param)
    if not params:
        raise InputError(
            "the model has no parameter to work on",
            where="model" if include is None else "include",
            got=f"{type(model).__name__} with {count} parameters, none of them chosen",
            fix="pass a model with floating-point parameters and an `include` that accepts some of them",
        )
    return params


def clear_grads(model: nn.Module) -> None:
    """Drops every gradient: it belongs to weights that are no longer there."""
    for param in model.parameters():
        param.grad = None


def clone(model: nn.Module) -> nn.Module:
    """A deep copy without gradients.

    Raises:
        InputError: the model cannot be deep-copied.
    """
    try:
        twin = copy.deepcopy(model)
    except Exception as error:
        raise InputError(
            "the model cannot be deep-copied",
            where=type(model).__name__,
            got=f"{type(error).__name__}: {error}",
            fix="remove what cannot be copied (old-style weight norm, open handles), or pass `fresh`",
        ) from error
    clear_grads(twin)
    return twin


@contextlib.contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Code that draws from the global random state draws from ``generator`` inside the block.

    One number is taken from the generator to seed the block; the global state of the CPU and of all
    GPUs is put back afterwards. With None the block draws from the global state as usual.
    """
    if generator is None:
        yield
        return
    seed = torch.randint(2**62, (1,), generator=generator, device=generator.device).item()
    with seeded(int(seed), "drawing_from"):
        yield


def fresh_copy(
    model: nn.Module,
    fresh: Fresh = None,
    generator: torch.Generator | None = None,
    *,
    include: Include | None = None,
) -> nn.Module:
    """A model of the same architecture as ``model`` with freshly drawn parameters.

    Args:
        model: the model to match; not changed.
        fresh: a freshly built model (returned as it is), a function without arguments that builds one,
            or None: copy ``model`` and call ``reset_parameters()`` on each submodule that has one,
            inner modules first, as construction does.
        generator: source of the draws; the global random state then stays untouched.
        include: names that need fresh values; the others are not checked.

    Raises:
        InputError: ``fresh`` is ``model`` itself, is no module or has another architecture; or, without
            ``fresh``, some parameter is not drawn anew because its module has no ``reset_parameters()``.
    """
    if fresh is None:
        return _reset_copy(model, generator, include)
    if isinstance(fresh, nn.Module):
        made: object = fresh
    else:
        with drawing_from(generator):
            made = fresh() if callable(fresh) else fresh
    if not isinstance(made, nn.Module) or made is model:
        raise InputError(
            "`fresh` gives no fresh model",
            where="fresh",
            got="the model itself" if made is model else type(made).__name__,
            fix="pass a newly built model, or a function without arguments that builds one",
        )
    check_same_architecture(model, made)
    return made


def check_same_architecture(model: nn.Module, other: nn.Module) -> None:
    """Checks that two models have the same parameter names and shapes.

    Raises:
        InputError: names the first parameter that differs, and both shapes.
    """
    ours = {name: tuple(p.shape) for name, p in _named(model)}
    theirs = {name: tuple(p.shape) for name, p in _named(other)}
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            raise InputError(
                "the two models differ in architecture",
                where=f"parameter {name}",
                got=f"{_shape(ours.get(name))} in the model, {_shape(theirs.get(name))} in the other",
                fix="build both from the same code with the same sizes",
            )


def buffer_pairs(model: nn.Module, source: nn.Module, include: Include | None = None) -> Pairs:
    """Pairs (buffer of ``model``, buffer of ``source``) to copy, after a check of names and shapes.

    Raises:
        InputError: names the first buffer that ``source`` lacks or has in another shape.
    """
    theirs = dict(source.named_buffers(remove_duplicate=False))
    pairs = []
    for name, buffer in model.named_buffers():
        if include is not None and not include(name):
            continue
        other = theirs.get(name)
        if other is None or other.shape != buffer.shape:
            raise InputError(
                "the two models differ in a buffer",
                where=f"buffer {name}",
                got=f"{_shape(tuple(buffer.shape))} in the model, "
                f"{_shape(None if other is None else tuple(other.shape))} in the other",
                fix="build both from the same code, or keep the buffers with reset_buffers=False",
            )
        pairs.append((buffer, other))
    return pairs


def reset_pairs(model: nn.Module, fresh: nn.Module | None, include: Include | None = None) -> Pairs:
    """Pairs (buffer, fresh value) that reset the buffers of ``model`` once they are copied.

    With ``fresh`` these are all its buffers; without, the running statistics of normalization layers
    (modules with ``reset_running_stats()``). ``include`` is asked about the names of buffers.

    Raises:
        InputError: ``fresh`` lacks a buffer or has it in another shape.
    """
    if fresh is not None:
        return buffer_pairs(model, fresh, include)
    pairs = []
    for prefix, module in model.named_modules():
        if callable(getattr(module, "reset_running_stats", None)):
            twin = copy.deepcopy(module)
            twin.reset_running_stats()
            values = dict(twin.named_buffers(recurse=False))
            for name, buffer in module.named_buffers(recurse=False):
                if include is None or include(f"{prefix}.{name}" if prefix else name):
                    pairs.append((buffer, values[name]))
    return pairs


def copy_pairs_(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Copies the second tensor of each pair into the first, across dtypes and devices."""
    with torch.no_grad():
        for target, source in pairs:
            target.copy_(source)


def inherit_(model: nn.Module, parent_model: nn.Module) -> nn.Module:
    """Copies parameters and buffers of ``parent_model`` into ``model``, in place.

    Where the model has grown in the first dimension (a class was added, so the last layer has more
    outputs) the leading slice is copied and the rest keeps its fresh values.

    Returns:
        ``model``.

    Raises:
        InputError: a name is missing on either side, or a tensor differs in more than growth of its
            first dimension; nothing has been written then.
    """
    copy_pairs_(_overlap(model, parent_model))
    clear_grads(model)
    return model


def leading_copy(model: nn.Module, parent_model: nn.Module) -> nn.Module:
    """The part of ``model`` that overlaps with ``parent_model``, as a model of the parent's shape.

    The reverse view of :func:`inherit_`: a copy of the parent that holds the values of ``model``.

    Raises:
        InputError: as :func:`inherit_`.
    """
    part = clone(parent_model)
    copy_pairs_((theirs, ours) for ours, theirs in _overlap(model, part))
    return part


def _overlap(model: nn.Module, parent_model: nn.Module) -> Pairs:
    ours, theirs = dict(_state(model)), dict(_state(parent_model))
    pairs = []
    for name in dict.fromkeys([*ours, *theirs]):
        own, old = ours.get(name), theirs.get(name)
        if own is None or old is None or not _grown_from(own, old):
            raise InputError(
                "the model does not continue its parent",
                where=name,
                got=f"{_shape(None if own is None else tuple(own.shape))} in the model, "
                f"{_shape(None if old is None else tuple(old.shape))} in the parent",
                fix="keep the architecture; only first dimensions may grow, as when classes are added",
            )
        _refuse_unreadable(name, own)
        _refuse_unreadable(name, old)
        pairs.append((own if own.shape == old.shape else own[: old.shape[0]], old))
    return pairs


def _grown_from(own: Tensor, old: Tensor) -> bool:
    if own.shape == old.shape:
        return True
    return own.ndim == old.ndim and own.shape[1:] == old.shape[1:] and own.shape[0] > old.shape[0]


def _state(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, param in _named(model):
        yield name, param.detach()
    yield from model.named_buffers(remove_duplicate=False)


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, param in model.named_parameters(remove_duplicate=False):
        if _has_no_shape(param):
            _refuse_unreadable(name, param)
        yield name, param


def _reset_copy(model: nn.Module, generator: torch.Generator | None, include: Include | None) -> nn.Module:
    twin = clone(model)
    params = unique_parameters(twin, include)
    # Not-a-number marks what no reset has touched: robust against resets that skip a parameter,
    # reassign it, or write to a tensor that only looks like it (weight norm).
    with torch.no_grad():
        for param in params.values():
            param.fill_(torch.nan)
    with drawing_from(generator):
        twin.apply(_reset)
    for name in params:
        if torch.isnan(twin.get_parameter(name)).any():
            owner, _, _ = name.rpartition(".")
            module = twin.get_submodule(owner)
            state = "leaves it as it was" if _reset_of(module) else "is missing"
            raise InputError(
                "a parameter cannot be drawn afresh",
                where=f"module {owner or '(the model itself)'}, parameter {name}",
                got=f"{type(module).__name__}, whose reset_parameters() {state}",
                fix="pass `fresh`: a newly built model or a function that builds one",
            )
    return twin


def _reset(module: nn.Module) -> None:
    reset = _reset_of(module)
    if reset is not None:
        reset()


def _reset_of(module: nn.Module) -> Callable[[], object] | None:
    # nn.MultiheadAttention and nn.Transformer keep theirs under a private name.
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    return reset if callable(reset) else None


def _identity(param: nn.Parameter) -> object:
    # Two Parameter objects over one stretch of memory (tied through `.data`) are one parameter too.
    if _has_no_shape(param) or param.is_meta or param.numel() == 0 or _is_sharded(param):
        return id(param)
    return (param.device, param.data_ptr(), tuple(param.shape), param.stride(), param.dtype)


def _has_no_shape(param: Tensor) -> bool:
    return bool(is_lazy(param))


def _is_sharded(param: Tensor) -> bool:
    return hasattr(param, "device_mesh") or hasattr(param, "_is_flat_param")


def _refuse_unreadable(name: str, tensor: Tensor) -> None:
    if _has_no_shape(tensor):
        what, got, fix = (
            "lazy, without a shape yet",
            type(tensor).__name__,
            "run the model on one batch first",
        )
    elif _is_sharded(tensor):
        what, got, fix = "sharded", type(tensor).__name__, "apply this before sharding the model"
    elif tensor.is_meta:
        what, got, fix = (
            "on the meta device",
            "no memory",
            "give the model memory with to_empty() and load it",
        )
    else:
        return
    raise InputError(f"a parameter is {what}", where=f"parameter {name}", got=got, fix=fix)


def _refuse_dtype(name: str, param: Tensor) -> None:
    if param.is_quantized or not param.is_floating_point() or param.element_size() < 2:
        raise InputError(
            "a parameter is not of a floating-point type of 16 bits or more",
            where=f"parameter {name}",
            got=str(param.dtype),
            fix="convert the model (dequantize it), or leave the parameter out through `include`",
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else f"shape {shape}"
