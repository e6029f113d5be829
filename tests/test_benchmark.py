"""The benchmark of training prints what it promises."""

from latent_anatomy import benchmark


def test_it_prints_loading_augmentation_step_and_loop(capsys):
    benchmark.run("autoencoder", channels=1, steps=1, device="cpu")
    lines = capsys.readouterr().out.splitlines()
    assert [line[:14].strip() for line in lines[2:]] == ["loading", "augmentation", "bare step", "whole loop"]
    assert all(float(line.split()[-2]) > 0 for line in lines[2:])
