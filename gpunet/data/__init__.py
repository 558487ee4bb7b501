"""Real data sets, the loader that cuts them into batches, and pictures, sounds as inputs.

>>> from gpunet import data
>>> train = data.load("digits", "train")
>>> inputs, targets = next(iter(data.DataLoader(train, batch_size=32, shuffle=True)))
>>> inputs.shape, targets.shape
((32, 1, 8, 8), (32,))
"""

from gpunet.data import own, transforms
from gpunet.data.audio import log_mel, mel_bands, read_wav, spectrogram
from gpunet.data.catalogue import Description, describe, names
from gpunet.data.dataset import Dataset
from gpunet.data.datasets import load
from gpunet.data.folder import image_folder
from gpunet.data.image import read_image
from gpunet.data.inputs import read_input
from gpunet.data.loader import DataLoader
from gpunet.data.series import windows

__all__ = [
    "DataLoader",
    "Dataset",
    "Description",
    "describe",
    "image_folder",
    "load",
    "log_mel",
    "mel_bands",
    "names",
    "own",
    "read_image",
    "read_input",
    "read_wav",
    "spectrogram",
    "transforms",
    "windows",
]
