from dataclasses import replace

from stillbit.analysis.plot.oscillation import compare, figures
from tests.analysis.plot import samples


def test_a_tracked_run_shows_layers_time_scales_paths_heads_and_latents():
    assert [one.name for one in figures(samples.oscillation())] == [
        "oscillation-layers",
        "oscillation-time",
        "oscillation-layers-time",
        "oscillation-scales",
        "oscillation-paths",
        "oscillation-query-key",
        "latents",
    ]


def test_without_a_tracker_there_are_the_latents_alone():
    assert [one.name for one in figures(samples.oscillation(tracked=False))] == ["latents"]


def test_settings_without_which_the_numbers_mean_nothing_are_in_the_caption():
    caption = figures(samples.oscillation())[0].caption
    assert "m = 0.01" in caption and "a look every step" in caption and "above 0.005" in caption


def test_what_was_not_kept_is_left_out():
    record = samples.oscillation()
    bare = replace(record.tracked, moments=record.tracked.moments[:1], past=(), past_steps=(), pairs=(), paths=())
    names = [one.name for one in figures(replace(record, tracked=bare, latents=()))]
    assert names == ["oscillation-layers"]


def test_untracked_runs_are_not_compared():
    runs = [("a", samples.oscillation()), ("b", samples.oscillation(tracked=False))]
    assert compare(runs) == ()
    assert 'data-name="b"' in compare([*runs[:1], ("b", samples.oscillation())])[0].options[0].svg
