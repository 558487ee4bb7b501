"""Whole steps of image networks: the number of threads changes no bit of what is learned."""

from tests.process import python

TRAIN = """if True:
    import hashlib
    import gpunet
    import numpy as np
    from bench.images import WORKLOADS
    from gpunet import functional, nn, optim

    for training in WORKLOADS.values():
        gpunet.manual_seed(0)
        rng = np.random.default_rng(0)
        x = gpunet.tensor(rng.standard_normal((20, *training.shape[1:]), np.float32))
        t = gpunet.tensor(rng.integers(0, 10, 20))
        model = training.build(nn, functional)
        optimizer = getattr(optim, training.optimizer)(model.parameters(), **training.options)
        for _ in range(2):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), t).backward()
            optimizer.step()
        bits = b"".join(value.tobytes() for value in model.state_dict().values())
        print(hashlib.sha256(bits).hexdigest())
"""


def test_the_number_of_threads_changes_no_bit_of_a_network() -> None:
    found = [python("-c", TRAIN, GPUNET_NUM_THREADS=count).split() for count in ("1", "2", "3")]
    assert len(set(found[0])) == 3
    assert found[1] == found[2] == found[0]
