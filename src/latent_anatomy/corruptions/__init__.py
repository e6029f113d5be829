"""Image corruptions: the 12 that training draws from (`augment`), the 14 of the robustness test (`imagenet_c`)."""
