import pytest

from transformer_playground.config.run_config import SAMPLE_VARIABLE, load_sample_config
from transformer_playground.errors import ConfigError

SAVED = {"sample": {"temperature": 0.5, "top_k": 7}, "runtime": {"seed": 3}}


def test_omitted_values_are_those_of_the_run() -> None:
    config = load_sample_config(SAVED, {}, overrides=(), environ={})
    assert (config.sample.temperature, config.sample.top_k, config.runtime.seed) == (0.5, 7, 3)


def test_options_win_over_flags_over_the_environment_over_the_run() -> None:
    environ = {SAMPLE_VARIABLE: '{"sample": {"temperature": 0.6, "top_k": 8, "top_p": 0.9}}'}
    config = load_sample_config(
        SAVED,
        {"sample": {"temperature": 0.8}},
        overrides=["sample.sample.temperature=0.7", "sample.sample.top_k=9"],
        environ=environ,
    )
    decoding = config.sample
    assert (decoding.temperature, decoding.top_k, decoding.top_p) == (0.8, 9, 0.9)
    assert config.runtime.seed == 3


def test_training_settings_are_rejected_instead_of_ignored() -> None:
    with pytest.raises(ConfigError, match="model"):
        load_sample_config(SAVED, {}, overrides=["model.n_layer=3"], environ={})


def test_an_unknown_setting_is_reported_with_its_source_and_the_closest_name() -> None:
    with pytest.raises(ConfigError, match=r"--set.*temperature"):
        load_sample_config(SAVED, {}, overrides=["sample.sample.temprature=1"], environ={})


def test_an_option_out_of_range_is_reported_with_the_allowed_range() -> None:
    with pytest.raises(ConfigError, match="top_p"):
        load_sample_config(SAVED, {"sample": {"top_p": 0.0}}, overrides=(), environ={})


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_float16_is_rejected_on_devices_that_do_not_support_it(device: str) -> None:
    options = {"runtime": {"dtype": "float16", "device": device}}
    with pytest.raises(ConfigError, match=f"needs a CUDA device, not {device}"):
        load_sample_config(SAVED, options, overrides=(), environ={})


def test_float16_is_accepted_while_the_device_is_not_known() -> None:
    options = {"runtime": {"dtype": "float16", "device": "auto"}}
    config = load_sample_config(SAVED, options, overrides=(), environ={})
    assert config.runtime.dtype == "float16"
