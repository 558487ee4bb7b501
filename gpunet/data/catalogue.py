"""The data sets gpunet knows by name, and what can be said of them before a file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gpunet.data.image import Framing
from gpunet.errors import ArgumentError

Format = Literal[
    "package",
    "idx",
    "cifar",
    "folder",
    "text",
    "sentences",
    "pairs",
    "recordings",
    "series",
    "table",
]


@dataclass(frozen=True, kw_only=True)
class Description:
    """One data set.

    Args:
        shape: (C, H, W) of an input; of a text, (T,), a window where no length is asked for; of
            sentences, (T,), a usual length; of a series, (L, 1), the values that a forecast is made
            from; of a table, (F,), its features.
        white: the value in the files that becomes 1.0; 0 stays 0.
        classes: the names that the labels 0..K-1 stand for; of a text, its vocabulary;
            of translations, the tokens are known once the files are read.
        framing: how a glyph lies in its frame, for `read_image`; None for pictures of other things.
        digests: file name to SHA-256; images before labels, those to train on before the others;
            of sentences, a file a class; of pairs of them, the source's before the target's. For an
            archive, see `download.digest`.
        mirrors: addresses of folders that hold the files, ending in "/", or of the one file; none
            where nobody does.
        format: how they are read: as one file of the package, MNIST's files, CIFAR's records, a
            folder of pictures, a text in UTF-8, labelled sentences or pairs of sentences (one a
            line), an archive of recordings, a series (its values at the ends of lines), or a table
            of features.
        vocabulary: tokens that sentences are made of, learned from those to train on.
        folds: parts that a set without a split of its own is tested on in turn.
        columns: the features of a table.
        folder: their folder, if it is not named as the set.
        rate: samples a second of recordings.
        horizon: of a series, how many values a forecast has. held_out: its last values, to test on.
        season: steps after which it is much as it was. unit: of its values. step: what lies
            between them, such as "day".
    """

    shape: tuple[int, ...]
    white: int = 255
    classes: tuple[str, ...]
    framing: Framing | None = None
    digests: Mapping[str, str]
    mirrors: tuple[str, ...] = ()
    format: Format = "idx"
    vocabulary: int = 0
    folds: int = 0
    columns: tuple[str, ...] = ()
    folder: str = ""
    rate: int = 0
    horizon: int = 0
    held_out: int = 0
    season: int = 1
    unit: str = ""
    step: str = ""


# MNIST and those made in its likeness come as these four files.
IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

CIFAR_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

BROWNLEE = "https://raw.githubusercontent.com/jbrownlee/Datasets/master/"

CATALOGUE: Mapping[str, Description] = {
    # A day a line; how many bicycles were rented on it stands last.
    "bike_sharing": Description(
        shape=(11,),
        classes=(),
        digests={"day.csv": "a6bcf826782d3c0fbfdcbeead17cd0884185a0dafe8ff10cd48a874ee7ba18be"},
        mirrors=(
            "https://raw.githubusercontent.com/udacity/deep-learning-v2-pytorch/master/"
            "project-bikesharing/Bike-Sharing-Dataset/",
        ),
        format="table",
        columns=(
            *("season", "yr", "mnth", "holiday", "weekday", "workingday"),
            *("weathersit", "temp", "atemp", "hum", "windspeed"),
        ),
    ),
    # Champagne by Perrin Freres, 1964 to 1972; Makridakis, Wheelwright 1989.
    "champagne_sales": Description(
        shape=(24, 1),
        classes=(),
        digests={
            "monthly_champagne_sales.csv": (
                "bf2179f9c4df80a355146ce80da5c29d5cd5f36918d98f8b07cb04cda59e59eb"
            )
        },
        mirrors=(BROWNLEE,),
        format="series",
        folder="timeseries",
        horizon=12,
        held_out=24,
        season=12,
        unit="million",
        step="month",
    ),
    "cifar10": Description(
        shape=(3, 32, 32),
        classes=CIFAR_CLASSES,
        digests={
            "cifar-10-binary.tar.gz": (
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            )
        },
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        format="cifar",
    ),
    # The first records of data_batch_1 and test_batch: what a laptop trains on in minutes.
    "cifar10_subset": Description(
        shape=(3, 32, 32),
        classes=CIFAR_CLASSES,
        digests={
            "train_5000.bin": "25c919756e77f926c2ce5d52f3af2a33de8d75ff7868e4fcd0fa499745217b8d",
            "test_1000.bin": "8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5",
        },
        format="cifar",
    ),
    "daily_min_temperatures": Description(
        shape=(28, 1),
        classes=(),
        digests={
            "daily-min-temperatures.csv": (
                "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da"
            )
        },
        mirrors=(BROWNLEE,),
        format="series",
        folder="timeseries",
        horizon=7,
        held_out=365,
        unit="°C",
        step="day",
    ),
    "digits": Description(
        shape=(1, 8, 8),
        white=16,
        classes=tuple("0123456789"),
        # NIST's form reader (NISTIR 5469) scaled a digit to the middle 32 x 20 of 32 x 32 pixels,
        # then sheared it upright, which may widen it: here it is sheared first. A pixel of the set
        # counts 4 x 4 of those. The limit to the stretch keeps a plain bar from filling the frame.
        framing=Framing(box=(8, 5.5), stretch=2, upright=True),
        digests={"digits.npz": "e9355b56286ec609ffdc8a3c6fc7f04eea8b3a586ba6f8e9c87b99ab2304e565"},
        format="package",
    ),
    "fashion_mnist": Description(
        shape=(1, 28, 28),
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        digests=dict(
            zip(
                IDX_FILES,
                (
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
                strict=True,
            )
        ),
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    ),
    "iris": Description(
        shape=(4,),
        classes=("Iris-setosa", "Iris-versicolor", "Iris-virginica"),
        digests={"iris.csv": "f5d0c11e5c78a69a20dbb80baf2b24703f59a6687595752abb397d23732647c5"},
        mirrors=(BROWNLEE,),
        format="table",
        columns=("sepal length", "sepal width", "petal length", "petal width"),  # cm
        folder="uci_tabular",
    ),
    "mnist": Description(
        shape=(1, 28, 28),
        classes=tuple("0123456789"),
        framing=Framing(box=(20, 20), centre="mass"),
        digests=dict(
            zip(
                IDX_FILES,
                (
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                ),
                strict=True,
            )
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    # German into English: captions of photographs. The files of task 1, as they are.
    "multi30k": Description(
        shape=(15,),
        classes=(),
        digests={
            "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
            "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
            "test_2016_flickr.de.gz": (
                "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8"
            ),
            "test_2016_flickr.en.gz": (
                "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9"
            ),
        },
        mirrors=("https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/",),
        format="pairs",
        vocabulary=4000,
    ),
    # Of the 2018 Data Science Bowl's first training pictures, those of 256 × 256 pixels by name:
    # 160 to train on, the next 40 to test. Label maps count the nuclei of a picture.
    "nuclei": Description(
        shape=(1, 256, 256),
        classes=("background", "nucleus"),
        digests=dict(
            zip(
                (
                    "train-images-idx3-ubyte.gz",
                    "train-labels-idx3-ubyte.gz",
                    "test-images-idx3-ubyte.gz",
                    "test-labels-idx3-ubyte.gz",
                ),
                (
                    "482d95fbfa0326ac43fe69d6238d6e5243b654bc5158207a9a19938d8192cd1e",
                    "63733fe274338c9eecb793207f68de50a74e9abf31afe052116ed4c9e0b62592",
                    "f39c35015dc7ef5e209cacaa02c5acbc92960cb0d7c8f5823fcccbd17804cc33",
                    "d50a92b94f86b4fb307cbfbcee0d7be027fda8571be2b099cd48d0d48118be62",
                ),
                strict=True,
            )
        ),
        folder="nuclei_dsb2018",
    ),
    # Its page, www.cs.cornell.edu/people/pabo/movie-review-data, has the same files in an archive.
    "rt_polarity": Description(
        shape=(22,),
        classes=("negative", "positive"),
        digests={
            "rt-polarity.neg": "4ace77d558c3714723843f1d65b60c01e3417b208180f0728808d76ad0eeeaca",
            "rt-polarity.pos": "2da124ec187a9d5a29c9f04e91c540e02baed5af8868f550a26bd6fd4dbf8bf0",
        },
        mirrors=("https://raw.githubusercontent.com/yoonkim/CNN_sentence/master/",),
        format="sentences",
        vocabulary=10_000,
        folds=10,
    ),
    # DIGIT_SPEAKER_INDEX.wav of six speakers; the indices 0 to 4 are the test set.
    "spoken_digits": Description(
        shape=(1, 32, 64),
        classes=tuple("0123456789"),
        digests={
            "recordings.zip": "aacc6435ec019f03383d4aa575de70fa6775a5c68b50d87c766d1c14bb2b79ac"
        },
        mirrors=(
            "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads/master.zip",
        ),
        format="recordings",
        folder="fsdd",
        rate=8000,
    ),
    "tinyshakespeare": Description(
        shape=(64,),
        classes=tuple("\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        digests={"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
        mirrors=(
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        ),
        format="text",
    ),
    "wine": Description(
        shape=(13,),
        classes=("1", "2", "3"),
        digests={"wine.csv": "e9c16b779f9194945067f65118da6afb317ef60c6515879c50124dc4f6cdd756"},
        mirrors=(BROWNLEE,),
        format="table",
        columns=(
            *("alcohol", "malic acid", "ash", "alcalinity of ash", "magnesium", "phenols"),
            *("flavanoids", "nonflavanoid phenols", "proanthocyanins", "colour intensity"),
            *("hue", "OD280/OD315", "proline"),
        ),
        folder="uci_tabular",
    ),
}


def names() -> tuple[str, ...]:
    """The names that `load` and `describe` know.

    >>> "mnist" in names()
    True
    """
    return tuple(CATALOGUE)


def describe(name: str) -> Description:
    """What is known of a data set without reading it.

    Raises:
        ArgumentError: no data set has this name; the message lists those there are.

    >>> describe("digits").shape
    (1, 8, 8)
    """
    if name not in CATALOGUE:
        from difflib import get_close_matches

        nearest = get_close_matches(name, names(), n=1)
        raise ArgumentError(
            "data set",
            f"name must be one of {', '.join(names())}, got {name!r}",
            f"did you mean {nearest[0]!r}?" if nearest else "",
        )
    return CATALOGUE[name]
