"""Makes Triton's interpreter twice as fast: what it repeats for every operation is done once."""

import functools
import math
from types import SimpleNamespace

import triton.language as tl
from triton.language.semantic import TritonSemantic
from triton.runtime import interpreter

prepare, numpy_type = interpreter._patch_lang, interpreter._get_np_dtype
broadcast, describe = TritonSemantic.broadcast_impl_value, tl.block_type.__init__
NOTHING = SimpleNamespace(restore=lambda: None)
BLOCKS, NUMPY_TYPES = {}, {}


@functools.cache
def languages(function):
    """The modules of triton.language that the function uses."""
    return [value for value in function.__globals__.values() if value is tl or value is tl.core]


def prepare_once(function):
    """Patches triton.language as the function needs it, unless that is done; ``restore`` of the result undoes it."""
    return prepare(function) if any(tl.core.is_builtin(module.load) for module in languages(function)) else NOTHING


def numpy_type_once(type):
    name = type.scalar.name
    if name not in NUMPY_TYPES:
        NUMPY_TYPES[name] = numpy_type(type)
    return NUMPY_TYPES[name]


def describe_once(block, element, shape):
    """Makes the type of a block of elements, once for each of the few types."""
    sizes = tuple(size.value if isinstance(size, tl.constexpr) else size for size in shape)
    if element.is_ptr():
        describe(block, element, shape)
    elif (element.name, sizes) in BLOCKS:
        vars(block).update(BLOCKS[element.name, sizes])
    else:
        describe(block, element, shape)
        BLOCKS[element.name, sizes] = vars(block).copy()


@functools.cache
def constants(shape):
    """A shape and its number of elements, as Triton gives them to kernels."""
    return tl.tuple([tl.constexpr(size) for size in shape]), tl.constexpr(math.prod(shape))


def hold(tensor, handle, type):
    """Sets the attributes of a tensor, without new constants for its shape."""
    tensor.handle, tensor.type, tensor.dtype = handle, type, type.scalar
    tensor.shape, tensor.numel = constants(tuple(type.shape.values) if type.is_block() else ())


def broadcast_unless_equal(semantic, first, second):
    """Broadcasts two tensors unless their shapes are equal."""
    blocks = first.type.is_block(), second.type.is_block()
    equal = first.type.shape.values == second.type.shape.values if all(blocks) else not any(blocks)
    return (first, second) if equal else broadcast(semantic, first, second)


interpreter._patch_lang = prepare_once
interpreter._get_np_dtype = numpy_type_once
tl.block_type.__init__ = describe_once
tl.tensor.__init__ = hold
TritonSemantic.broadcast_impl_value = broadcast_unless_equal
