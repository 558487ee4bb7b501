"""The Transformer of Vaswani et al., arXiv:1706.03762, in PyTorch's layers and names."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

from gpunet import backend
from gpunet import functional as F
from gpunet.autograd.tensor import Tensor
from gpunet.errors import ArgumentError
from gpunet.functional import activation as ops
from gpunet.functional.check import floating, one_of, shape_error
from gpunet.nn import init
from gpunet.nn.attention import MultiheadAttention
from gpunet.nn.container import ModuleList
from gpunet.nn.dropout import Dropout
from gpunet.nn.linear import Linear
from gpunet.nn.module import Module
from gpunet.nn.normalization import LayerNorm

Activation = str | Callable[[Tensor], Tensor]
FUSED = {"relu": ops.ReLU, "gelu": ops.GELU}


class _Layer(Module):
    """Base: self-attention, two dense layers, and a norm for each."""

    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout

    def _make(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: Activation,
        layer_norm_eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        device: str,
        dtype: str,
        crosses: bool,
    ) -> None:
        def attention() -> MultiheadAttention:
            options = {"batch_first": batch_first, "device": device, "dtype": dtype}
            return MultiheadAttention(d_model, nhead, dropout, bias, **options)  # type: ignore[arg-type]

        if isinstance(activation, str):
            one_of(type(self).__name__, "activation", activation, tuple(FUSED))
        self.self_attn = attention()
        if crosses:
            self.multihead_attn = attention()
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first, self.activation = norm_first, activation
        numbers = range(1, 4 if crosses else 3)
        for i in numbers:
            norm = LayerNorm(d_model, layer_norm_eps, True, bias, device, dtype)
            setattr(self, f"norm{i}", norm)
        for i in numbers:
            setattr(self, f"dropout{i}", Dropout(dropout))

    def _attend(
        self, x: Tensor, mask: Tensor | None, padding: Tensor | None, causal: bool
    ) -> Tensor:
        y, _ = self.self_attn(x, x, x, padding, False, mask, is_causal=causal)
        return self.dropout1(y)

    def _feed_forward(self, x: Tensor) -> Tensor:
        if isinstance(self.activation, str):
            hidden = self.linear1(x, FUSED[self.activation]())
        else:
            hidden = self.activation(self.linear1(x))
        return self.linear2(self.dropout(hidden))


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two dense layers, each with a way around it and a layer norm.

    x = norm1(x + attention(x)), then norm2(x + linear2(activation(linear1(x)))); with `norm_first`,
    the norms come first: x + attention(norm1(x)) and so on.
    Shapes: input and output (L, N, d_model), with `batch_first` (N, L, d_model), or (L, d_model).

    Args:
        d_model: width of input and output.
        nhead: heads of the attention.
        dim_feedforward: width between the dense layers.
        dropout: share dropped after each part, between the dense layers, and of the weights.
        activation: "relu", "gelu", or a function of a tensor.

    Source: Vaswani et al., arXiv:1706.03762, section 3.1.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-05,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        self._make(*sizes, batch_first, norm_first, bias, device, dtype, crosses=False)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Masks as in `MultiheadAttention`."""
        x, masks = src, (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *masks)
            return x + self.dropout2(self._feed_forward(self.norm2(x)))
        x = self.norm1(x + self._attend(x, *masks))
        return self.norm2(x + self.dropout2(self._feed_forward(x)))


class TransformerDecoderLayer(_Layer):
    """As the encoder's layer, with attention to the encoder's output in the middle.

    Shapes and arguments as for `TransformerEncoderLayer`; memory (S, N, d_model).

    Source: Vaswani et al., arXiv:1706.03762, section 3.1.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-05,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        self._make(*sizes, batch_first, norm_first, bias, device, dtype, crosses=True)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Masks as in `MultiheadAttention`, those of memory for the attention to it."""

        def look(x: Tensor) -> Tensor:
            masks = (memory_key_padding_mask, False, memory_mask)
            y, _ = self.multihead_attn(x, memory, memory, *masks, is_causal=memory_is_causal)
            return self.dropout2(y)

        x, masks = tgt, (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *masks)
            x = x + look(self.norm2(x))
            return x + self.dropout3(self._feed_forward(self.norm3(x)))
        x = self.norm1(x + self._attend(x, *masks))
        x = self.norm2(x + look(x))
        return self.norm3(x + self.dropout3(self._feed_forward(x)))


def _copies(name: str, layer: Module, count: int) -> ModuleList:
    if count < 1:
        raise ArgumentError(name, f"num_layers must be at least 1, got {count}")
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


class TransformerEncoder(Module):
    """`num_layers` copies of an encoder layer, one after the other, and a norm at last.

    The copies start with the same weights, as PyTorch's do.
    """

    def __init__(
        self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None
    ):
        self.layers = _copies("TransformerEncoder", encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """See `TransformerEncoderLayer`; `is_causal` None is False."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """`num_layers` copies of a decoder layer, one after the other, and a norm at last."""

    def __init__(
        self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None
    ):
        self.layers = _copies("TransformerDecoder", decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """See `TransformerDecoderLayer`; `tgt_is_causal` None is False."""
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder: `src` is read as a whole, `tgt` is answered position by position.

    Shapes: src (S, N, d_model), tgt and output (L, N, d_model); with `batch_first`, N comes first.
    Matrices start Glorot-uniform. Embeddings, positions and scores are the caller's.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation: see `TransformerEncoderLayer`.
        custom_encoder, custom_decoder: take the place of the usual ones.

    Source: Vaswani et al., arXiv:1706.03762.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-05,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        options = batch_first, norm_first, bias, device, dtype

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, True, bias, device, dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*sizes, *options), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*sizes, *options), num_decoder_layers, norm()
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Masks as in `MultiheadAttention`."""
        for name, x in (("src", src), ("tgt", tgt)):
            floating("Transformer", name, x)
            if x.ndim not in (2, 3) or x.shape[-1] != self.d_model:
                rule = f"{name} must have shape (..., d_model) = (..., {self.d_model})"
                shape_error("Transformer", f"{rule} and two or three axes, got {x.shape}")
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        return self.decoder(tgt, memory, *masks, tgt_is_causal, memory_is_causal)

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: str = "cpu", dtype: str = "float32"
    ) -> Tensor:
        """−∞ above the diagonal, 0 elsewhere: position i sees 0 to i. Shapes: (sz, sz)."""
        be = backend.resolve(device)[0]
        return F.triu(Tensor(be.full((sz, sz), -math.inf, dtype), be), 1)
