import pytest

from gateway.catalog.quantization import Quantizations, normal_name


@pytest.fixture(scope="module")
def quantizations() -> Quantizations:
    return Quantizations.load()


@pytest.mark.parametrize(
    ("written", "normal"),
    [("q4_k_m", "Q4_K_M"), (" UD-Q4_K_XL ", "Q4_K_XL"), ("4bit", "INT4"), ("8-bits", "INT8"), ("mxfp4", "MXFP4")],
)
def test_names_are_normalised(written: str, normal: str) -> None:
    assert normal_name(written) == normal


@pytest.mark.parametrize(
    ("name", "bits"),
    [("Q4_K_M", 4.89), ("q4_k_m", 4.89), ("Q4_K_XL", 5.0), ("F16", 16.0), ("unknown", None), ("", None)],
)
def test_bits_per_weight_by_name(quantizations: Quantizations, name: str, bits: float | None) -> None:
    assert quantizations.bits_per_weight(name) == bits


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("Q4_K_M", 0.014),
        ("Q4_0", 0.030),
        ("F32", 0.0),
        ("Q4_K_S", 0.021),
        ("Q5_0", 0.008),
        ("Q4_1", 0.014),
        ("Q4_K_L", 0.014),
        ("INT8", 0.0),
        ("IQ1_S", 0.194),
        ("nonsense", None),
    ],
)
def test_a_loss_the_table_lacks_is_that_of_the_nearest_by_bits(
    quantizations: Quantizations, name: str, loss: float | None
) -> None:
    assert quantizations.loss_at_8b(name) == loss


def test_only_models_published_in_mxfp4_lose_nothing_by_it(quantizations: Quantizations) -> None:
    assert quantizations.loss_at_8b("MXFP4", native=True) == 0.0
    assert quantizations.loss_at_8b("MXFP4") == 0.027


@pytest.mark.parametrize(
    ("name", "low"),
    [
        ("Q3_K_L", True),
        ("IQ3_M", True),
        ("Q2_K", True),
        ("TQ1_0", True),
        ("Q4_K_M", False),
        ("IQ4_XS", False),
        ("F16", False),
        ("nonsense", False),
    ],
)
def test_three_bits_and_fewer_are_low(quantizations: Quantizations, name: str, *, low: bool) -> None:
    assert quantizations.low(name) is low
