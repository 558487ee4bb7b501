"""Real data sets, the loader that cuts them into batches, and pictures turned into inputs.

>>> from gpunet import data
>>> train = data.load("digits", "train")
>>> inputs, targets = next(iter(data.DataLoader(train, batch_size=32, shuffle=True)))
>>> inputs.shape, targets.shape
((32, 1, 8, 8), (32,))
"""

from gpunet.data import transforms
from gpunet.data.catalogue import Description, describe, names
from gpunet.data.dataset import Dataset
from gpunet.data.datasets import load
from gpunet.data.folder import image_folder
from gpunet.data.image import read_image
from gpunet.data.loader import DataLoader

__all__ = [
    "DataLoader",
    "Dataset",
    "Description",
    "describe",
    "image_folder",
    "load",
    "names",
    "read_image",
    "transforms",
]
