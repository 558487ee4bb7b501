"""Convolutions of one, two and three axes, transposed ones, and the patches they look at.

All of them are computed with three axes: a picture is a volume one deep.
CPU: gpunet/backend/cpu/conv.py. CUDA: kernels/conv.cu.
"""

from __future__ import annotations

from typing import Any

from gpunet.autograd.op import Op, apply
from gpunet.autograd.tensor import Tensor
from gpunet.backend import Array, Backend, Shape
from gpunet.errors import ArgumentError
from gpunet.functional import geometry
from gpunet.functional.activation import Activation
from gpunet.functional.check import floating, shape_error
from gpunet.functional.geometry import Geometry, Numbers, Three
from gpunet.functional.precision import in_half


class Conv(Op):
    """y = f(x ∗ w + b), with f written into y itself if its gradient needs only that.

    With z = x ∗ w + b: gz = f'(z) ⊙ gy, gb = Σ gz over samples and positions, and gx and gw are
    correlations of gz with w and x.
    """

    takes_bfloat16 = True
    fresh = True

    def __init__(self, moves: Geometry, groups: int, activation: Activation | None = None):
        self.moves, self.activation = (*moves, groups), activation

    def forward(self, be: Backend, x: Array, w: Array, b: Array | None) -> Array:
        axes = x.ndim - 2
        x, w = geometry.three_axes(be, x), geometry.three_axes(be, w)
        b = None if b is None else be.contiguous(b)
        y = be.conv.conv_fwd(x, w, b, *self.moves)
        if (activation := self.activation) is not None:
            y = activation.forward_in_place(be, y, None)
        # What the activation kept goes when this does.
        self.saved, self.activation = (x, w, activation), None
        return geometry.last_axes(y, axes)

    def backward(self, be: Backend, gy: Array) -> Any:
        x, w, activation = self.saved
        gz, axes = geometry.three_axes(be, gy), gy.ndim - 2
        if activation is not None:
            gz = activation.backward(be, gz)
        need_x, need_w, need_b = self.needs
        gx = gw = gb = None
        if need_x:
            gx = geometry.last_axes(be.conv.conv_bwd_x(gz, w, x.shape[2:], *self.moves), axes)
        if need_w:
            gw = geometry.last_axes(be.conv.conv_bwd_w(x, gz, w.shape[2:], *self.moves), axes)
        if need_b:
            gb = be.sum(gz, (0, 2, 3, 4))
        return gx, gw, gb


class ConvTranspose(Op):
    """y = what `Conv` would give as the gradient of its input, for x as that of its output; + b."""

    takes_bfloat16 = True
    fresh = True

    def __init__(self, moves: Geometry, groups: int, shape: Three):
        self.moves, self.shape = (*moves, groups), shape

    def forward(self, be: Backend, x: Array, w: Array, b: Array | None) -> Array:
        axes = x.ndim - 2
        x, w = geometry.three_axes(be, x), geometry.three_axes(be, w)
        b = None if b is None else be.contiguous(b)
        self.saved = x, w
        y = be.conv.conv_bwd_x(x, w, self.shape, *self.moves, bias=b)
        return geometry.last_axes(y, axes)

    def backward(self, be: Backend, gy: Array) -> Any:
        (x, w), axes = self.saved, gy.ndim - 2
        gy = geometry.three_axes(be, gy)
        need_x, need_w, need_b = self.needs
        gx = gw = gb = None
        if need_x:
            gx = geometry.last_axes(be.conv.conv_fwd(gy, w, None, *self.moves), axes)
        if need_w:
            gw = geometry.last_axes(be.conv.conv_bwd_w(gy, x, w.shape[2:], *self.moves), axes)
        if need_b:
            gb = be.sum(gy, (0, 2, 3, 4))
        return gx, gw, gb


class ImageToColumns(Op):
    """The patches of a picture as columns; the gradient adds them up where they come from."""

    def __init__(self, kernel: Three, moves: Geometry):
        self.kernel, self.moves = kernel, moves

    def forward(self, be: Backend, x: Array) -> Array:
        self.shape = x.shape
        return be.conv.im2col(geometry.three_axes(be, x), self.kernel, *self.moves)

    def backward(self, be: Backend, gy: Array) -> Array:
        shape = (1, *self.shape[2:])
        gx = be.conv.col2im(be.contiguous(gy), shape, self.kernel, *self.moves)
        return gx.reshape(self.shape)


class ColumnsToImage(Op):
    """The sums of overlapping patches; the gradient takes them out again."""

    def __init__(self, shape: Shape, kernel: Three, moves: Geometry):
        self.shape, self.unfold = shape, ImageToColumns(kernel, moves)

    def forward(self, be: Backend, x: Array) -> Array:
        channels = x.shape[1] // (self.unfold.kernel[1] * self.unfold.kernel[2])
        self.unfold.shape = (x.shape[0], channels, *self.shape)
        return self.unfold.backward(be, x)

    def backward(self, be: Backend, gy: Array) -> Array:
        return self.unfold.forward(be, gy)


# --- public functions


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    activation: Activation | None = None,
) -> Tensor:
    """A filter moved along one axis: y[o, i] = bias[o] + Σ weight[o, c, k]·x[c, i·s + k·d − p].

    Shapes: x (N, in, L) or (in, L), weight (out, in / groups, K), bias (out,); the result
    (N, out, (L + 2p − d(K − 1) − 1) // s + 1), or without N.
    Dtypes: floating, all the same.
    Args: those of `conv2d`: stride, padding, dilation, groups, activation.
    """
    moves = stride, padding, dilation, groups
    return _convolve("conv1d", 1, x, weight, bias, *moves, activation)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    activation: Activation | None = None,
) -> Tensor:
    """Filters moved over pictures: y[o, i, j] = bias[o] + Σ weight[o, c, k, l]·x[c, i', j'].

    The sum runs over channels c and the filter's elements k, l, which meet row i' = i·s + k·d − p
    and column j' alike; zeros stand where the picture ends. (In mathematics, a cross-correlation.)
    Shapes: x (N, in, H, W) or (in, H, W), weight (out, in / groups, K, L), bias (out,); the result
    (N, out, (H + 2p − d(K − 1) − 1) // s + 1, ...), or without N.
    Dtypes: floating, all the same.
    Args:
        stride: s, how far a filter moves; here and below a number, or one for each axis.
        padding: p, how many zeros stand around x; "valid" for none, "same" for as many as make the
            result as large as x (the odd one behind; stride must be 1).
        dilation: d, the distance of a filter's neighbouring elements in x.
        groups: in how many parts channels are cut; an output channel sees only its own part.
        activation: an operation of `gpunet.functional.activation`, such as `ReLU()`; the result is
            the same as that of the function called afterwards. `nn.Sequential` fuses by itself.
    Source: LeCun et al., Neural Computation 1(4), 1989.

    >>> import gpunet
    >>> x, edge = gpunet.tensor([[[0.0, 0.0, 5.0, 5.0]]]), gpunet.tensor([[[[-1.0, 1.0]]]])
    >>> gpunet.functional.conv2d(x, edge)
    tensor([[[0., 5., 0.]]], dtype=float32)
    """
    moves = stride, padding, dilation, groups
    return _convolve("conv2d", 2, x, weight, bias, *moves, activation)


def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    activation: Activation | None = None,
) -> Tensor:
    """Filters moved through volumes: `conv2d` with one axis more.

    Shapes: x (N, in, D, H, W) or (in, D, H, W), weight (out, in / groups, K, L, M), bias (out,);
    the result (N, out, (D + 2p − d(K − 1) − 1) // s + 1, ...), or without N.
    Dtypes: floating, all the same.
    Args: those of `conv2d`: stride, padding, dilation, groups, activation.
    """
    moves = stride, padding, dilation, groups
    return _convolve("conv3d", 3, x, weight, bias, *moves, activation)


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    """The transpose of `conv1d`: each x[c, i] adds weight[c, o, k] times itself to y[o, i·s + k·d].

    Shapes: x (N, in, L) or (in, L), weight (in, out / groups, K), bias (out,); the result
    (N, out, (L − 1)s − 2p + d(K − 1) + output_padding + 1), or without N.
    Dtypes: floating, all the same.
    Args: those of `conv_transpose2d`: stride, padding, output_padding, groups, dilation.
    """
    moves = stride, padding, output_padding, groups, dilation
    return _transposed("conv_transpose1d", 1, x, weight, bias, *moves)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    """The transpose of `conv2d`, which makes pictures larger: what conv2d's gradient does to x.

    Each x[c, i, j] adds weight[c, o, k, l] times itself to y[o, i·s + k·d − p, j·s + l·d − p].
    Shapes: x (N, in, H, W) or (in, H, W), weight (in, out / groups, K, L), bias (out,); the result
    (N, out, (H − 1)s − 2p + d(K − 1) + output_padding + 1, ...), or without N.
    Dtypes: floating, all the same.
    Args:
        stride: s, the distance in y of what neighbours in x add.
        padding: p, how many rows and columns of the sum are left out at each end.
        output_padding: rows and columns more at the far ends; smaller than stride or dilation.
        groups: in how many parts channels are cut; an input channel adds only to its own part.
        dilation: d, the distance of a filter's neighbouring elements in y.
    Source: Zeiler et al., CVPR 2010.

    >>> import gpunet
    >>> x, w = gpunet.tensor([[[1.0, 2.0]]]), gpunet.ones((1, 1, 1, 2))
    >>> gpunet.functional.conv_transpose2d(x, w, stride=2)
    tensor([[[1., 1., 2., 2.]]], dtype=float32)
    """
    moves = stride, padding, output_padding, groups, dilation
    return _transposed("conv_transpose2d", 2, x, weight, bias, *moves)


def conv_transpose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    """The transpose of `conv3d`: `conv_transpose2d` with one axis more.

    Shapes: x (N, in, D, H, W) or (in, D, H, W), weight (in, out / groups, K, L, M), bias (out,);
    the result (N, out, (D − 1)s − 2p + d(K − 1) + output_padding + 1, ...), or without N.
    Dtypes: floating, all the same.
    Args: those of `conv_transpose2d`: stride, padding, output_padding, groups, dilation.
    """
    moves = stride, padding, output_padding, groups, dilation
    return _transposed("conv_transpose3d", 3, x, weight, bias, *moves)


def unfold(
    x: Tensor,
    kernel_size: Numbers,
    dilation: Numbers = 1,
    padding: Numbers = 0,
    stride: Numbers = 1,
) -> Tensor:
    """The patches that a filter of `conv2d` meets, as columns: what a convolution multiplies.

    Shapes: x (N, C, H, W) or (C, H, W); the result (N, C·K·L, positions), or without N, for
    patches of K rows and L columns.
    Dtypes: floating.
    Args:
        kernel_size: K and L; here and below a number, or one for each axis.
        dilation: the distance of a patch's neighbouring elements in x.
        padding: how many zeros stand around x.
        stride: how far apart patches are.

    >>> import gpunet
    >>> x = gpunet.tensor([[[1.0, 2.0, 3.0]]])
    >>> gpunet.functional.unfold(x, (1, 2))
    tensor([[1., 2.],
            [2., 3.]], dtype=float32)
    """
    floating("unfold", "x", x)
    if x.ndim not in (3, 4):
        shape_error("unfold", f"x must have shape (N, C, H, W) or (C, H, W), got {x.shape}")
    kernel, moves = geometry.patches("unfold", kernel_size, dilation, padding, stride)
    geometry.positions("unfold", x.shape[-2:], kernel, moves, x=x)
    return _batched(ImageToColumns(kernel, moves), 2, x)


def fold(
    x: Tensor,
    output_size: Numbers,
    kernel_size: Numbers,
    dilation: Numbers = 1,
    padding: Numbers = 0,
    stride: Numbers = 1,
) -> Tensor:
    """Adds up the columns of `unfold` where they come from; not its inverse where they overlap.

    Shapes: x (N, C·K·L, positions) or without N; the result (N, C, H, W) or (C, H, W).
    Dtypes: floating.
    Args:
        output_size: H and W; here and below a number, or one for each axis.
        kernel_size: K and L, rows and columns of a patch.
        dilation: the distance of a patch's neighbouring elements.
        padding: how many rows and columns at the ends are left out.
        stride: how far apart patches are.

    >>> import gpunet
    >>> patches = gpunet.tensor([[1.0, 2.0], [2.0, 3.0]])
    >>> gpunet.functional.fold(patches, (1, 3), (1, 2))
    tensor([[[1., 4., 3.]]], dtype=float32)
    """
    floating("fold", "x", x)
    if x.ndim not in (2, 3):
        shape_error("fold", f"x must have shape (N, C·K·L, positions), N optional, got {x.shape}")
    size = geometry.numbers("fold", "output_size", output_size, 2, 1)
    kernel, moves = geometry.patches("fold", kernel_size, dilation, padding, stride)
    rows, columns = geometry.positions("fold", size, kernel, moves, x=x)
    taps = kernel[1] * kernel[2]
    if x.shape[-2] % taps:
        rule = f"x's last axis but one must be a multiple of K·L = {taps}, got {x.shape[-2]}"
        shape_error("fold", rule, x=x)
    if x.shape[-1] != rows * columns:
        rule = f"x's last axis must be {rows}·{columns} = {rows * columns} positions"
        shape_error("fold", f"{rule} for output_size {size}, got {x.shape[-1]}", x=x)
    return _batched(ColumnsToImage(size, kernel, moves), 1, x)


# --- checks, and the way to three axes


@in_half
def _convolve(
    operation: str,
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Numbers,
    padding: Numbers | str,
    dilation: Numbers,
    groups: int,
    activation: Activation | None,
) -> Tensor:
    geometry.operands(operation, axes, x, weight, bias, groups)
    inputs, filters = x.shape[-axes - 1], weight.shape[0]
    if inputs != weight.shape[1] * groups:
        rule = f"x must have in = {weight.shape[1]}·{groups} channels, got {inputs}"
        shape_error(operation, rule, x=x, weight=weight)
    if filters % groups:
        rule = f"groups must divide the {filters} filters of weight, got {groups}"
        shape_error(operation, rule, x=x, weight=weight)
    geometry.one_bias_each(operation, bias, filters, weight)
    if activation is not None and not isinstance(activation, Activation):
        raise ArgumentError(operation, f"activation must be an Activation, got {activation!r}")
    strides = geometry.numbers(operation, "stride", stride, axes, 1)
    dilations = geometry.numbers(operation, "dilation", dilation, axes, 1)
    kernel = weight.shape[2:]
    pairs = geometry.pads(operation, padding, axes, kernel, strides, dilations)
    moves = geometry.moves(strides, pairs, dilations)
    geometry.positions(operation, x.shape[-axes:], kernel, moves, x=x, weight=weight)
    return _batched(Conv(moves, groups, activation), axes, x, weight, bias)


@in_half
def _transposed(
    operation: str,
    axes: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Numbers,
    padding: Numbers,
    output_padding: Numbers,
    groups: int,
    dilation: Numbers,
) -> Tensor:
    geometry.operands(operation, axes, x, weight, bias, groups)
    inputs = x.shape[-axes - 1]
    if inputs != weight.shape[0]:
        rule = f"x must have in = {weight.shape[0]} channels, got {inputs}"
        shape_error(operation, rule, x=x, weight=weight)
    if inputs % groups:
        rule = f"groups must divide the {inputs} channels of x, got {groups}"
        shape_error(operation, rule, x=x, weight=weight)
    geometry.one_bias_each(operation, bias, weight.shape[1] * groups, weight)
    strides = geometry.numbers(operation, "stride", stride, axes, 1)
    dilations = geometry.numbers(operation, "dilation", dilation, axes, 1)
    less = geometry.numbers(operation, "padding", padding, axes, 0)
    more = geometry.numbers(operation, "output_padding", output_padding, axes, 0)
    kernel = weight.shape[2:]
    shape = geometry.transposed_shape(x.shape[-axes:], kernel, strides, less, more, dilations)
    for s, d, o in zip(strides, dilations, more, strict=True):
        if o >= max(s, d):
            rule = f"output_padding must be smaller than stride or dilation, got {output_padding}"
            raise ArgumentError(operation, rule, f"stride is {stride}, dilation {dilation}")
    if min(shape) < 1:
        rule = f"the result must have at least one element along each axis, got {shape}"
        shape_error(operation, rule, x=x, weight=weight)
    # With so much less behind, conv's formula gives the size of x again.
    pairs = tuple((p, p - o) for p, o in zip(less, more, strict=True))
    op = ConvTranspose(
        geometry.moves(strides, pairs, dilations), groups, geometry.in_front(shape, 1)
    )
    return _batched(op, axes, x, weight, bias)


def _batched(op: Op, axes: int, x: Tensor, *parameters: Tensor | None) -> Tensor:
    """The operation, also on a sample alone."""
    if x.ndim == axes + 2:
        return apply(op, x, *parameters)
    y = apply(op, x.reshape(1, *x.shape), *parameters)
    return y.reshape(*y.shape[1:])
