"""Speed, as ratios against rivals measured in the same run. `python -m bench` prints the table.

Workloads (float32, whole steps, fixed batch, no data loading):

- W1: MLP 784-512-512-10, ReLU, batch 128, cross entropy, Adam: bound by matrix products.
- W1s: MLP 784-128-10, ReLU, batch 32, cross entropy, SGD: bound by overhead.
- W2: PyTorch's MNIST example, two convolutions and two dense layers, batch 64, Adam.
- W2l: LeNet-5, batch 128, SGD with momentum. W3: ResNet-20, batch 32, likewise. Both, and W2, also
  beside PyTorch with channels last (`images.py`).
- W4: LSTM language model of characters; W5: GRU; lstm-b32, lstm-b1, lstm-step (`recurrent.py`).
- conv: convolutions alone, forward or backward, and the memory they take (`conv.py`).
- W6: activations on 16 Mi elements, forward and backward: bound by memory. GB/s are what must be
  moved (20 bytes an element), beside those of a copy in the same run.
- W7: inference of one example through the network of W1: bound by reading its weights.
- W8: a small GPT, AdamW (`text.py`).
- W9: from the start of the process to the end of its first W1s step, caches warm.
- overhead: relu, add and mul on 10 elements, forward and backward.

Every framework runs in a process of its own (two thread pools in one process disturb each other),
in turns with the others, several rounds each; the figure is the median over all rounds.
"""

THREADS = 2  # of every framework
