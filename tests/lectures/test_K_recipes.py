"""Applications that are a configuration: each is read, checked, and about the right task and data.

That they train, and how well, is in tests/train/test_recipes.py.
"""

from __future__ import annotations

from gpunet import data
from gpunet.train.config import load
from tests.lectures.pages import DOCS, PAGES, rows


def check(row: str, task: str, **recipes: str) -> None:
    """Each recipe has this task and its data set, and both pages lead to it."""
    for name, data_set in recipes.items():
        config = load(DOCS.parent / "configs" / f"{name}.toml")
        assert config.name == name
        assert config.task == task
        assert config.data.set == data_set
        assert data_set in data.names()
        for page in PAGES:
            assert f"[{name}](../configs/{name}.toml)" in rows(page)[row][1]


def test_K1_digit_and_image_classification() -> None:
    check(
        "K1", "classification", digits="digits", mnist_lenet="mnist", fashion_cnn="fashion_mnist",
        cifar_resnet20="cifar10_subset",
    )  # fmt: skip


def test_K4_segmentation() -> None:
    check("K4", "segmentation", nuclei_unet="nuclei")


def test_K7_machine_translation() -> None:
    check("K7", "translation", multi30k_gru="multi30k")


def test_K8_text_generation() -> None:
    check("K8", "language_model", shakespeare_lstm="tinyshakespeare")


def test_K9_text_bot() -> None:
    """`gpunet generate` hands it the prompt (tests/cli/test_generate.py)."""
    check("K9", "language_model", shakespeare_lstm="tinyshakespeare")


def test_K10_speech_recognition() -> None:
    check("K10", "classification", speech_digits="spoken_digits")


def test_K11_weather_forecast() -> None:
    check("K11", "forecasting", weather="daily_min_temperatures")


def test_K12_sales_forecast() -> None:
    check("K12", "forecasting", sales="champagne_sales")


def test_K13_sentiment() -> None:
    check("K13", "text_classification", sentiment="rt_polarity")
