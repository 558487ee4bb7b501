"""GPT: nanoGPT's sizes and keys, its formulas in PyTorch, what a position may see, learning."""

import numpy as np
import pytest

import gpunet
from gpunet import functional as F
from gpunet import models, nn, optim, text
from gpunet.errors import ArgumentError, ShapeError
from tests.tolerance import EPS

TEXT = np.random.default_rng(0).integers(0, 11, (3, 8))


def small(**options) -> models.GPT:
    gpunet.manual_seed(0)
    return models.GPT(11, 8, 2, 2, 12, **options)


def test_gpt2_has_the_papers_size() -> None:
    """124 M parameters: 12 blocks of width 768, 1024 positions, 50257 tokens."""
    blocks = 12 * (12 * 768**2 + 13 * 768)
    narrow = models.GPT(65, 64, 4, 4, 128)
    count = sum(p.numel() for p in narrow.parameters())
    assert count == (65 + 64) * 128 + 4 * (12 * 128**2 + 13 * 128) + 2 * 128
    assert round((blocks + (50257 + 1024) * 768 + 2 * 768) / 1e6) == 124


def test_keys_are_nanogpts() -> None:
    keys = list(small().state_dict())
    block = [
        f"transformer.h.0.{layer}.{kind}"
        for layer in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
        for kind in ("weight", "bias")
    ]
    assert keys[:2] == ["transformer.wte.weight", "transformer.wpe.weight"]
    assert keys[2:14] == block
    last = ["transformer.ln_f.weight", "transformer.ln_f.bias", "lm_head.weight"]
    assert keys[-3:] == last
    assert not [key for key in small(bias=False).state_dict() if "bias" in key]


def test_gpt_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: NOT compared with it")
    net = small()
    state = {k: torch.from_numpy(np.array(v)) for k, v in net.state_dict().items()}
    f = torch.nn.functional
    x = state["transformer.wte.weight"][TEXT] + state["transformer.wpe.weight"][:8]

    def dense(x, name):
        return f.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x, name):
        return f.layer_norm(x, (12,), state[f"{name}.weight"], state[f"{name}.bias"])

    for i in range(2):
        at = f"transformer.h.{i}"
        y = dense(norm(x, f"{at}.ln_1"), f"{at}.attn.c_attn")
        q, k, v = (part.view(3, 8, 2, 6).transpose(1, 2) for part in y.split(12, 2))
        weights = (q @ k.transpose(-2, -1)) * 6**-0.5
        weights = weights.masked_fill(~torch.ones(8, 8).tril().bool(), -torch.inf).softmax(-1)
        y = (weights @ v).transpose(1, 2).reshape(3, 8, 12)
        x = x + dense(y, f"{at}.attn.c_proj")
        x = x + dense(f.gelu(dense(norm(x, f"{at}.ln_2"), f"{at}.mlp.c_fc")), f"{at}.mlp.c_proj")
    expected = norm(x, "transformer.ln_f") @ state["lm_head.weight"].T
    got = net(gpunet.tensor(TEXT)).detach().numpy()
    np.testing.assert_allclose(got, expected.numpy(), atol=2**6 * EPS["float32"])


def test_a_position_sees_itself_and_those_before() -> None:
    net = small(dropout=0.2).eval()
    before = net(gpunet.tensor(TEXT)).detach().numpy()
    other = TEXT.copy()
    other[:, 5] = (other[:, 5] + 1) % 11
    after = net(gpunet.tensor(other)).detach().numpy()
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(-1).all()


def whole(net: models.GPT, tokens: np.ndarray) -> np.ndarray:
    """The scores after the last of the tokens, read all at once."""
    with gpunet.no_grad():
        return net(gpunet.tensor(tokens[:, -8:])).numpy()[:, -1]


@pytest.mark.parametrize("bias", [True, False])
def test_steps_give_what_the_whole_text_gives(bias) -> None:
    """Also where the text is longer than a block, and its beginning is forgotten."""
    net, state = small(bias=bias, dropout=0.3).eval(), None
    tokens = np.random.default_rng(1).integers(0, 11, (3, 20))
    for t in range(20):
        with gpunet.no_grad():
            got, state = net.step(gpunet.tensor(tokens[:, t]), state)
        expected = whole(net, tokens[:, : t + 1])
        np.testing.assert_allclose(got.numpy(), expected, atol=2**6 * EPS["float32"])


def test_a_state_may_be_gone_on_from_twice() -> None:
    net = small().eval()
    with gpunet.no_grad():
        state = net.step(gpunet.tensor(TEXT[:, 0]), None)[1]
        first, after = net.step(gpunet.tensor(TEXT[:, 1]), state)
        net.step(gpunet.tensor(TEXT[:, 2]), after)
        again, _ = net.step(gpunet.tensor(TEXT[:, 1]), state)
    np.testing.assert_array_equal(first.numpy(), again.numpy())


def test_a_token_is_read_once_while_the_block_has_room(monkeypatch) -> None:
    net, read = small().eval(), []
    forward = models.gpt.CausalSelfAttention.forward
    monkeypatch.setattr(
        models.gpt.CausalSelfAttention,
        "forward",
        lambda self, x, past=None: read.append(x.shape[1]) or forward(self, x, past),
    )
    text.generate(net.step, gpunet.tensor(TEXT[:, :3]), 7)
    assert read == 2 * 8 * [1] + 2 * [8]  # two blocks; the ninth token needs room


def test_initial_weights() -> None:
    gpunet.manual_seed(0)
    net = models.GPT(65, 64, 4, 4, 128)
    for name, p in net.named_parameters():
        values = p.detach().numpy()
        if name.endswith("bias"):
            assert not values.any()
        elif p.ndim == 1:
            assert (values == 1).all()
        else:
            std = 0.02 / 8**0.5 if name.endswith("c_proj.weight") else 0.02
            assert abs(values.std() / std - 1) < 0.05, name


def test_tied_weights_are_one() -> None:
    net, apart = small(), small(tie_weights=False)
    assert net.transformer["wte"].weight is net.lm_head.weight
    assert apart.transformer["wte"].weight is not apart.lm_head.weight
    assert len(list(apart.parameters())) == len(list(net.parameters())) + 1


def test_it_learns_a_text_by_heart() -> None:
    net = small(dropout=0.0)
    optimizer = optim.AdamW(net.parameters(), lr=1e-2)
    text = gpunet.tensor(TEXT[:, :-1])
    targets = gpunet.tensor(TEXT[:, 1:].reshape(-1))
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(net(text).reshape(-1, 11), targets)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert abs(losses[0] - np.log(11)) < 0.2
    assert losses[-1] < 0.2


def test_refused() -> None:
    with pytest.raises(ArgumentError, match="GPT: sizes must be at least 1, and n_head divide"):
        models.GPT(11, n_head=3)
    with pytest.raises(ShapeError, match=r"GPT: idx must have shape \(N, T\) with T at most 8"):
        small()(gpunet.tensor(np.zeros((1, 9), int)))
    assert isinstance(small(), nn.Module)
