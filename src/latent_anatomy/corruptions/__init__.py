"""Image corruptions: `augment` has the 12 of the training, `imagenet_c` the 14 of the robustness test."""
